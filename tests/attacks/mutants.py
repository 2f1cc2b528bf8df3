# SPDX-License-Identifier: Apache-2.0
"""Breaks each defence in a copy of the project and shows that its attack then succeeds.

No attack is a test that can't fail.

`python -m tests.attacks.mutants [NUMBER...]`: a line each; exit 1 where a defence was
taken away and no test failed. Some minutes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.support.interpreters import PROJECT

PARTS = ("agent", "boards", "host_sim", "tests", "tools")
PATIENCE = 900  # seconds of one mutant's tests


class Mutant(NamedTuple):
    """A defence: the attack's number in SECURITY.md, file and text that is replaced, the tests that must fail."""

    number: str
    file: str
    before: str
    after: str
    tests: str
    hangs: bool = False  # without the defence the test waits for what never comes: half a minute is enough to see it


_COLLECTOR, _PAGE, _TOKENS, _FILES = (
    f"tests/attacks/fleet/test_{name}.py" for name in ("collector", "page", "tokens", "files")
)
_BROKER, _ROOT, _LOCAL = (
    "tests/attacks/fleet/test_broker.py",
    "tests/attacks/gateway/test_root.py",
    "tests/attacks/gateway/test_local.py",
)
_CONF, _INIT = "tools/fleet/mosquitto/oubli.conf", "boards/common/etc/init.d/oubli"
_FORWARDER, _VOUCHES = "tests/attacks/gateway/test_forwarder.py", "tests/attacks/gateway/test_broker.py"
_WEB, _GUEST_PAGE = "tests/purposes/test_page.py", "agent/purposes/consent/guest_page.py"
_PAGE_SERVER = "agent/purposes/consent/page_server.py"
_PAGE_TURNS = "agent/purposes/consent/page_turns.py"
_HOLDS_UP = "test_a_spool_full_of_entries_holds_the_recorder_up_for_a_turn"
_FOREIGN, _PORTAL = (
    f"{_WEB}::test_another_sites_page_or_a_strange_request_changes_nothing",
    "agent/purposes/portal/opennds.py",
)
_CLIENT_LIST = "agent/purposes/portal/client_list.py"
_PORTALS_TEXT = "tests/attacks/gateway/test_guest.py::test_a_text_of_the_portal_makes_nobody_else_of_a_guest"
MUTANTS = (
    Mutant(
        "B1",
        _CONF,
        "use_username_as_clientid true\n",
        "",
        f"{_BROKER}::test_a_gateway_doesnt_empty_the_collectors_queue",
    ),
    Mutant("B2", _CONF, "use_username_as_clientid true\n", "", f"{_BROKER}::test_a_gateway_doesnt_cut_another_off"),
    Mutant("B3", _CONF, "oubli/collectors.pem", "oubli/ca.pem", f"{_BROKER}::test_a_name_doesnt_make_a_collector"),
    Mutant(
        "B4",
        "tools/fleet/mosquitto/limit.nft",
        "{ ip saddr limit rate over 16 kbytes",
        "{ ip saddr limit rate over 16 mbytes",
        f"{_BROKER}::test_one_address_doesnt_fill_the_brokers_queue_in_minutes",
    ),
    *(
        Mutant("B5", "tools/fleet/rabbitmq/rabbitmq.conf", line, "", "tests/fleet/test_queues.py")
        for line in (
            "mqtt.ssl_cert_client_id_from = subject_alternative_name\n",
            "mqtt.max_packet_size_authenticated = 4096\n",
            "max_message_size = 4096\n",
        )
    ),
    Mutant(
        "C1",
        "tools/fleet/schemas/health-1.json",
        '"maxLength": 64',
        '"maxLength": 65',
        f"{_COLLECTOR}::test_one_retained_message_stops_nobodys",
    ),
    Mutant(
        "C2",
        "tools/fleet/intake.py",
        "        except _UNFIT:\n            fates = self._committed([], refused, now)",
        "        except KeyError:\n            fates = self._committed([], refused, now)",
        f"{_COLLECTOR}::test_what_a_schema_lets_through_and_the_store_cant_hold_is_set_aside_and_counted",
    ),
    Mutant(
        "C3",
        "tools/fleet/reading.py",
        "    except (ValueError, RecursionError):",
        "    except RecursionError:",
        f"{_COLLECTOR}::test_mutated_messages_stop_nothing_and_every_good_one_beside_them_is_stored_once",
    ),
    Mutant(
        "C4",
        "tools/fleet/intake.py",
        "granted = left >= 1",
        "granted = left >= -1e9",
        f"{_COLLECTOR}::test_a_flood_of_health_fills_no_table_and_hides_nobodys_breach",
    ),
    Mutant(
        "C4",
        "tools/fleet/episodes.py",
        "Q(ended=None) | Q(ended__gt=now - Episode.APART)",
        "Q(ended=None)",
        f"{_COLLECTOR}::test_trouble_that_comes_and_goes_is_one_episode",
    ),
    Mutant(
        "C5",
        "tools/fleet/judgement.py",
        "over.filter(~Exists(others[PAST - 1 : PAST]))",
        "over",
        f"{_COLLECTOR}::test_nobody_pushes_anothers_breach_off_the_page",
    ),
    Mutant(
        "C6",
        "tools/fleet/intake.py",
        "SUMMARIES = 12_000, 30",
        "SUMMARIES = 120_000, 30",
        f"{_COLLECTOR}::test_a_flood_of_summaries_is_refused_before_it_is_read_and_a_year_of_backlog_is_not",
    ),
    Mutant(
        "C7",
        "tools/fleet/checkpoints.py",
        "TOGETHER = 200",
        "TOGETHER = 20_000",
        f"{_COLLECTOR}::test_a_whole_batch_of_new_checkpoints_is_stored",
    ),
    Mutant(
        "C8",
        "tools/fleet/retention.py",
        "HOURLY = 35",
        "HOURLY = 350",
        f"{_COLLECTOR}::test_what_a_gateway_says_for_weeks_is_thinned",
    ),
    Mutant(
        "A1", "tools/fleet/notices.py", "one.shutdown(socket.SHUT_RDWR)", "pass", "tests/attacks/fleet/test_alerts.py"
    ),
    Mutant(
        "P1",
        "tools/fleet/tries.py",
        "if any(count >= most for",
        "if not any(count >= most for",
        f"{_PAGE}::test_guesses_at_once_are_no_more_than_one_after_the_other",
    ),
    Mutant(
        "P2",
        "tools/fleet/tries.py",
        "keys = (name, _network(request)), (_network(request),)",
        'keys = (name, ""), (_network(request),)',
        f"{_PAGE}::test_nobody_locks_the_operator_out",
    ),
    Mutant(
        "P3",
        "tools/fleet/prometheus.py",
        'TRIED.user(request, name, password, "") is not None',
        'type(TRIED)().user(request, name, password, "") is not None',
        f"{_PAGE}::test_the_metrics_are_no_other_door",
    ),
    Mutant(
        "P4",
        "tools/fleet/tries.py",
        "TRIES, PAUSE, REMEMBERED = (5, 20)",
        "TRIES, PAUSE, REMEMBERED = (5, 2000)",
        f"{_PAGE}::test_names_from_one_address_are_tried_no_more_than_twenty_times",
    ),
    Mutant(
        "P5",
        "tools/fleet/connection.py",
        "self._timer = self.loop.call_later(WHOLE, self.transport.abort)",
        "pass",
        f"{_PAGE}::test_half_sent_requests_keep_nobody_out_for_long",
    ),
    Mutant(
        "P6",
        "tools/fleet/connection.py",
        "EACH = 32",
        "EACH = 3200",
        f"{_PAGE}::test_one_address_holds_no_more_than_its_share_of_connections",
    ),
    Mutant(
        "P7",
        "tools/fleet/connection.py",
        "LARGEST = 5 << 20",
        "LARGEST = 5 << 30",
        f"{_PAGE}::test_a_request_fills_no_disk",
    ),
    Mutant(
        "P8",
        "tools/fleet/site.py",
        'OTP_TOTP_ISSUER="oubli",',
        'OTP_TOTP_ISSUER="oubli", OTP_TOTP_THROTTLE_FACTOR=0,',
        f"{_TOKENS}::test_codes_are_tried_no_more_than_passwords_wherever_from",
    ),
    Mutant(
        "P9",
        "tools/fleet/tokens.py",
        "return scope in one.scopes.split() and scope in scopes(one.owner)",
        "return scope in one.scopes.split()",
        f"{_TOKENS}::test_a_token_is_worth_what_its_owner_is_worth_at_the_moment",
    ),
    Mutant(
        "P10",
        "tools/fleet/figure_pages.py",
        "Link.objects.filter(key=key)",
        "Link.objects.filter(key__iexact=key)",
        "tests/fleet/test_figures.py::test_a_groups_picture_is_seen_by_who_has_its_address_until_it_ends",
    ),
    Mutant(
        "P11",
        "tools/fleet/people_pages.py",
        "if wrong := known(request, None):",
        "if (wrong := known(request, None)) == 0:",
        "tests/fleet/test_people.py::test_who_makes_an_administrator_is_asked_for_the_own_password",
    ),
    Mutant(
        "P12",
        "tools/fleet/people.py",
        "if not keeps_an_administrator():",
        "if keeps_an_administrator() is None:",
        "tests/fleet/test_people.py::test_two_administrators_at_once_leave_one",
    ),
    Mutant(
        "F1",
        "tools/fleet/__main__.py",
        "os.umask(0o077)",
        "os.umask(0o022)",
        f"{_FILES}::test_nobody_else_reads_the_store",
    ),
    Mutant(
        "F2",
        "tools/fleet/files.py",
        "_MEMORY = 512 << 20",
        "_MEMORY = 64 << 30",
        f"{_FILES}::test_a_small_file_takes_no_gigabytes_and_leaves_nothing",
    ),
    Mutant(
        "F3",
        "tools/fleet/file_commands.py",
        "files.check(source)",
        "pass",
        f"{_FILES}::test_a_file_that_is_malformed_further_on_leaves_no_half",
    ),
    Mutant(
        "G1",
        _INIT,
        r"""elif [ "$(ls -ld "./$entry" 2>/dev/null | sed -n '1s/^-[^ ]* *\([0-9]*\) .*/\1/p')" = 1 ]; then"""
        "\n\t\t\tchown -h",
        "else\n\t\t\tchown",
        f"{_ROOT}::test_root_follows_nothing_that_a_daemon_leaves_in_its_folders",
    ),
    Mutant(
        "G1",
        _INIT,
        '(enter "$1" && chown "$2" . && chmod "$3" .)',
        'chown "$2" "$1" && chmod "$3" "$1"',
        f"{_ROOT}::test_root_follows_nothing_that_a_daemon_leaves_in_its_folders",
    ),
    Mutant(
        "G2",
        _INIT,
        "chown root:root . && chmod 0700 . || return 0",
        ":",
        f"{_ROOT}::test_a_folder_is_roots_alone_while_what_it_holds_is_looked_at",
    ),
    Mutant(
        "G3",
        "boards/common/lib/upgrade/oubli.sh",
        "!= 1 ] || echo",
        "= none ] || echo",
        f"{_ROOT}::test_a_name_carries_no_other_file_over_a_sysupgrade",
    ),
    Mutant(
        "G5",
        "agent/base/canonical.py",
        "if not text or min(text) < 32 or max(text) > 126 or any(word in words for word in _STEERING):",
        "if not text or not words:",
        f"{_ROOT}::test_nothing_that_a_daemon_says_steers_roots_terminal",
    ),
    Mutant(
        "G6",
        "agent/runtime/cpython.py",
        "return 0 if sender[1] else found",
        "return found",
        f"{_LOCAL}::test_nobody_but_the_kernel_tells_the_recorder_of_connections",
    ),
    Mutant(
        "G9",
        _INIT,
        'folder "$FLASH" "$OWNER" 0700',
        'folder "$FLASH" "$OWNER" 0755',
        f"{_LOCAL}::test_nobody_else_sees_when_a_consent_changed",
    ),
    Mutant(
        "G14",
        "agent/cli/join.py",
        "if os.stat(line.word)[4]:",
        "if os.stat(line.word)[4] < 0:",
        f"{_LOCAL}::test_an_archive_that_somebody_else_made_room_for_gives_no_key",
    ),
    Mutant(
        "G16",
        "boards/common/usr/libexec/rpcd/oubli",
        "! busy || set -- call busy",
        ":",
        "tests/boards/test_gateway.py::test_rpcd_plugin_answers_four_calls_at_a_time",
    ),
    Mutant(
        "G17",
        "boards/common/www/luci-static/resources/view/oubli/overview.js",
        "String(cell == null ? '-' : cell) ]",
        "String(cell == null ? '-' : cell)",
        "tests/boards/test_luci_pages.py::test_texts_of_strangers_are_shown_as_texts",
    ),
    Mutant(
        "G7",
        "agent/control/server.py",
        " and (root or _held(others, user) < each)\n"
        "        most = max([_held(others, client.user) for client in others])\n"
        "        if _held(others, user) >= most:",
        "\n        most = 0\n        if user:",
        f"{_LOCAL}::test_two_users_keep_no_third_out_of_the_control_socket",
    ),
    Mutant(
        "G8",
        "agent/purposes/consent/consented.py",
        "        if by == calls.ANYONE:\n            self._unwritten += bool(places)\n"
        "            return dict(_HEARD)\n",
        "",
        f"{_LOCAL}::test_suspending_tells_nobody_who_is_here_or_has_consented",
    ),
    Mutant(
        "G10",
        "agent/outbox/spool.py",
        "if message and count < self._most:",
        "if count < self._most:",
        f"{_FORWARDER}::test_the_spool_keeps_nothing_but_messages",
    ),
    Mutant(
        "G10",
        _INIT,
        'for path in "$FLASH" "$SPOOL" "$RUN"; do',
        'for path in "$FLASH" "$RUN"; do',
        f"{_FORWARDER}::test_a_folder_that_only_its_maker_can_empty_goes_after_the_next_start",
    ),
    *(
        Mutant(
            "G15",
            "agent/outbox/spool.py",
            before,
            after,
            f"{_FORWARDER}::test_a_spool_full_of_entries_holds_the_recorder_up_for_a_turn",
        )
        for before, after in (
            ("self._most = MOST + octets // LEAST", "self._most = 10**9"),
            ("budget = [MOST]", "budget = [10**9]"),
        )
    ),
    Mutant(
        "G11",
        "agent/forwarder/mqtt_small.py",
        "if not x509.vouches(certificate, self._host):",
        "if not certificate:",
        _VOUCHES,
    ),
    Mutant("G11", "agent/forwarder/mqtt_paho.py", "context.hostname_checks_common_name = False", "pass", _VOUCHES),
    Mutant(
        "G12",
        "boards/common/etc/seccomp/oubli-recorder.json",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_ALLOW",
        "tests/attacks/gateway/test_calls.py::test_a_daemon_that_asks_for_what_it_never_needs_is_ended",
    ),
    Mutant(
        "G13",
        "agent/control/server.py",
        "            _refuse(descriptor, TOO_MANY)\n            sockets.close(descriptor)\n",
        "            _refuse(descriptor, TOO_MANY)\n",
        f"{_LOCAL}::test_a_flood_of_connects_loses_no_connection_that_is_recorded",
    ),
    Mutant(
        "K1",
        "tools/custodian/tars.py",
        "if member.size < 0 or (found and member.offset <= found[-1].offset):",
        "if member.size == 0.5:",
        "tests/attacks/custodian/test_tars.py",
    ),
    Mutant(
        "K2",
        "tools/custodian/tars.py",
        "if name in found or len(found) == MOST:",
        "if name in found:",
        "tests/attacks/custodian/test_tars.py",
    ),
    Mutant("W1", _GUEST_PAGE, "if not self._here():", "if not address:", _FOREIGN),
    Mutant(
        "W2",
        _GUEST_PAGE,
        "if self.posted and not self._from_here():",
        "if not act and not self._from_here():",
        _FOREIGN,
    ),
    Mutant("W2", _GUEST_PAGE, 'if self.fields.get("token") != self.token(act):', "if not self._token:", _FOREIGN),
    Mutant(
        "W3",
        _PAGE_SERVER,
        "if now >= client.deadline:",
        "if now < 0:",
        f"{_WEB}::test_a_request_that_does_not_come_is_given_up",
        hangs=True,
    ),
    Mutant(
        "W4",
        _PAGE_TURNS,
        "had = (-1 if late else self.had(client.address)), client.number",
        "had = 0, client.number",
        f"{_WEB}::test_whoever_was_answered_less_often_is_answered_first",
    ),
    Mutant(
        "W5",
        _PAGE_TURNS,
        "return None if had[most] <= (held.get(address, 0) + 1, self.had(address)) else most",
        "return None if had[most] else most",
        f"{_WEB}::test_one_terminal_holds_no_more_than_its_places_and_a_newcomer_finds_one",
    ),
    Mutant(
        "W6",
        _PAGE_TURNS,
        "not (looking and client.request.looks)",
        "client.number",
        f"{_WEB}::test_records_that_take_long_hold_nobody_up",
    ),
    Mutant(
        "W7",
        "agent/purposes/consent/page_connection.py",
        "if name in found:  # which of the two would be meant?",
        "if not name:",
        f"{_WEB}::test_octets_that_are_no_request_end_their_connection_alone",
    ),
    Mutant(
        "U3",
        "agent/capture/lan.py",
        "link == index:\n            self._holders.learn",
        "True:\n            self._holders.learn",
        "tests/attacks/gateway/test_guest.py::test_a_neighbour_holds_nothing_but_what_is_answered_by_its_link",
    ),
    Mutant("U2", _CLIENT_LIST, "and self._clients == self._announced", "", _PORTALS_TEXT),
    Mutant("U2", _PORTAL, "not odd", "True", _PORTALS_TEXT),
)


def survived(mutant: Mutant) -> str:
    """Return the last words of the tests where none failed without the defence; nothing where one did."""
    with tempfile.TemporaryDirectory(prefix="oubli-mutant-") as folder:
        root = Path(folder, "project")
        root.mkdir()
        for part in PARTS:
            shutil.copytree(PROJECT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        for path in PROJECT.iterdir():
            if path.is_file():
                shutil.copy(path, root)
        for name in (".cache", ".venv"):
            (root / name).symlink_to((PROJECT / name).resolve())
        broken = root / mutant.file
        text = broken.read_text()
        broken.write_text(text.replace(mutant.before, mutant.after))
        words = [sys.executable, "-m", "pytest", "-q", "-x", "-o", f"cache_dir={folder}/cache", "-n", "0", mutant.tests]
        words += ["-o", "timeout=30"] if mutant.hangs else []
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False, timeout=PATIENCE)
        return "" if done.returncode == 1 else (done.stdout + done.stderr)[-400:]


def main(numbers: list[str]) -> int:
    """Try the mutants of these attacks, all without any."""
    missed = 0
    for mutant in MUTANTS:
        if not numbers or mutant.number in numbers:
            said = survived(mutant)
            missed += bool(said)
            print(f"{mutant.number}  {mutant.file}: {'NOT SEEN: ' + said if said else 'seen'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
