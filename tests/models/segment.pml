// SPDX-License-Identifier: Apache-2.0
/*
 * One segment of a volatile store as a model for spin: the clock's trust (agent.base.clock), the segment's window and anchor, and its key
 * (agent.vault.ring). Time goes by units of eight hours; what is smaller than that is tests/base/test_clock.py's.
 *
 * Checked: the key is never there a lifetime after the record's end (EXP-1, EXP-4). It goes early only by the wall clock, while that is
 * trusted and within a day of what was confirmed: a step of more than a day expires nothing by itself (EXP-5). Trust comes from two
 * confirmations of one boot, apart from each other, that agree.
 *
 * BREAK: 1 no deadline by the time since boot, 2 no trust is ever lost, 3 one confirmation is enough, 4 a boot keeps keys and forgets ages.
 * Each line that is printed is an event and the state after it: tests/vault/test_models.py plays them to the recorder.
 */
#ifndef BREAK
#define BREAK 0
#endif
#define DAY 3       /* units */
#define LIFETIME 3
#define END 6       /* units since boot, at most, of each of two boots */
#define FORGED 4    /* units by which the wall clock may be wrong */
#define NONE 100    /* no time */

int now = 0;        /* since boot */
int offset = 0;     /* wall clock minus the true time, which is `before` + now */
int before = 0;     /* true time at boot */
int floor_ = -100;  /* on flash: no time before it is confirmed */
bool trusted = false;
int confirmed = 0;  /* offset */
int first = NONE, first_offset = 0; /* a confirmation that waits for a second one: since boot */

mtype = { passed, stepped, confirms, ends, restarted, booted }

bool key = false;
int anchor, window; /* of the segment: since boot, by the wall clock */
int end;            /* ghost: when its record truly ended, on a clock that goes on over boots */
int agreed = 0;     /* ghost: confirmations of this boot that agreed */

#define WALL (before + now + offset)
#define FAR(a, b) ((a) - (b) > DAY || (b) - (a) > DAY)

inline forget() { /* what no longer counts, so that states which are alike are one */
    if
    :: !key -> anchor = 0; window = 0; end = 0
    :: else -> skip
    fi;
    if
    :: !trusted -> confirmed = 0
    :: else -> skip
    fi;
    if
    :: first == NONE -> first_offset = 0
    :: else -> skip
    fi
}

inline tick() {
    if
    :: BREAK != 2 && trusted && FAR(offset, confirmed) -> trusted = false
    :: else -> skip
    fi;
    if
    :: key && ((trusted && WALL >= window + LIFETIME) || (BREAK != 1 && now >= anchor + LIFETIME)) ->
        assert(now >= anchor + LIFETIME || (trusted && agreed >= 2 && !FAR(offset, confirmed)));
        key = false
    :: else -> skip
    fi;
    forget();
    assert(!(key && before + now - end >= LIFETIME))
}

inline told(what, amount) {
    printf("EVENT %e %d %d %d\n", what, amount, trusted, key)
}

active proctype gateway() {
    int to;
end_of_life:
    do
    :: now < END ->
        atomic {
            now = now + 1;
            tick();
            if
            :: trusted && WALL > floor_ -> floor_ = WALL
            :: else -> skip
            fi;
            told(passed, 1)
        }
    :: atomic { /* somebody sets the wall clock */
            select(to : 0 .. 4);
            if
            :: to == 0 -> to = -FORGED
            :: to == 4 -> to = FORGED
            :: else -> to = to - 2
            fi;
            if
            :: to != offset -> offset = to; tick(); told(stepped, to)
            :: else -> skip
            fi
        }
    :: atomic { /* the time service confirms what it shows */
            true;
            tick();
            if
            :: WALL < floor_ -> skip
            :: WALL >= floor_ && trusted -> confirmed = offset
            :: WALL >= floor_ && !trusted && BREAK == 3 -> trusted = true; confirmed = offset
            :: WALL >= floor_ && !trusted && BREAK != 3 && first == NONE -> first = now; first_offset = offset; agreed = 1
            :: else ->
                if
                :: !trusted && first != NONE && now > first && first_offset == offset ->
                    trusted = true; confirmed = offset; first = NONE; agreed = 2
                :: !trusted && first != NONE && now > first && first_offset != offset ->
                    first = now; first_offset = offset; agreed = 1
                :: else -> skip
                fi
            fi;
            tick();
            told(confirms, 0)
        }
    :: !key -> /* a connection ends */
        atomic {
            key = true;
            anchor = now;
            window = WALL;
            end = before + now;
            told(ends, 0)
        }
    :: atomic { true; tick(); told(restarted, 0) }
    :: before == 0 && now > 0 ->
        atomic { /* power was lost: another boot, with the right time or a wrong one */
            before = before + now;
            now = 0;
            trusted = false;
            first = NONE;
            agreed = 0;
            if
            :: BREAK == 4 -> anchor = 0
            :: else -> key = false
            fi;
            tick();
            told(booted, 0)
        }
    od
}
