# SPDX-License-Identifier: Apache-2.0
"""Anonymous sums (ANON-1 to ANON-8), and why they are anonymous.

One row a terminal, metrics read off the rows, exact noise, a ledger.

**Neighbouring.** Two agent-days (03:00 to 03:00 UTC) are neighbours when one has one terminal more. A terminal is a MAC
address. Whoever sees *everything* that leaves the gateway can hardly tell two neighbours apart: the odds of any outcome
differ by a factor of at most e^epsilon. So nobody can be singled out, linked with another day's figures, or have
anything inferred from having been there.

**The row.** All that a day's figures know of a terminal is its row in `terminals`: first hour, quarter-hours with
traffic, volume, service classes. Rows don't touch one another: one terminal more is one row more (ANON-8 names the
exception).

**L1.** A message counts, for each of its cells, the rows that belong there; `Terminals.count` lets a row add 1 to at
most L1 cells. arrivals, in whatever slots: the one of its first sight, so 1 over all messages (a phone that stays
overnight "arrives" in each agent-day's first). presence and volume, in whatever ranges: one, so 1. active: the first
two of six slots, so 2. classes: two, chosen by a hash under the day's key whatever else the terminal did, so 2. The
bound is on what is read off a row and not on what happened: no behaviour, however extreme, no restart and no long
connection can exceed it.

**Noise.** Each cell gets discrete Laplace noise of scale b = L1 / epsilon of its metric: P(x) falls by e^(-1/b) a step.
A terminal moves a metric's cells by L1 steps in all, so the odds of its messages change by at most e^(L1/b) =
e^epsilon. `noise` samples that distribution exactly, in integers, from the system's random octets: there is no rounding
to see through, no seed to guess. A draw is never repeated: a cell is marked before it, and a message is kept and sent
again octet for octet. The ledger has its slot's end on flash before the draw, so no boot and no clock that is set back
comes there again.

**Composition.** Epsilons add up over the metrics of the profile that are on, to `summary.epsilon`. By default that is
0.25 + 0.20 + 0.20 + 0.15 + 0.20 = 1.00. Shares are exact fractions; what is on is configuration, and follows no
terminal. A boot forgets the table and starts the day anew, which spends epsilon once more. The `ledger` has that on
flash before anything is counted, up to `epsilon_ceiling` (2.0); then the day is silent. Restarts of the process go on
with the table and cost nothing. A profile or an epsilon that changes within a day is a start of its own. The guarantee
for an agent-day is the ceiling; a day without a boot costs epsilon. An agent-day opens at most once, so a forged or
repaired clock buys no second one.

**Nothing else follows terminals.** Messages have one shape, one length and a fixed window of time, and are sent whether
or not anybody came. What is learned after a slot or a day has closed counts nowhere. A loop that terminals keep busy is
late: so files of the spool are made, and messages sent, at moments drawn at random, the second ones without regard to
the first. `agent.outbox.jitter` says what is left of it. Health says only what is true of the device (the audit log's
hash covers random octets beside what guests can cause). The log has no line that guests can cause. What a person reads
(`published`) is made of the noised messages.

**Not covered.** A phone that changes its MAC is several terminals, and so are several devices of one person: k of them
cost k epsilon. Days add up: n days with the same phone cost n epsilon. On a day on which the table filled, one terminal
more can leave another one out: 2 epsilon, said by `oubli status`. Two terminals whose 60-bit hashes are equal share a
row, which costs 2 epsilon with a chance of 2^-48 for a given terminal among 4,096. Someone with a radio in the room, or
root on the running gateway, sees terminals without any of this. The table itself is personal data until the day ends.
Whoever measures the uplink itself (its queue, how fast TCP or a keep-alive is answered) or the processor sees how busy
they are. So are facts about everybody at once not covered: that the café is full at noon is what the figures are for.
"""
