# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash disable=SC2012 # OpenWrt's busybox has neither stat nor find -links
# What a sysupgrade keeps of oubli beside /etc/oubli (keep.d); sourced by /sbin/sysupgrade. A backup that an operator takes away
# (sysupgrade -b, LuCI) has no part of /srv/oubli: put back later, it would give back epsilon that was spent, and take away consents
# that were given since, and say what a store was kept for then; and a copy of the device's key and of sealed stores lies where nobody
# destroys it on time.

# The files by which the broker is known and reached, wherever the configuration has them.
oubli_broker_files() { # oubli_broker_files LIST
	local option file
	for option in ca certificate key password_file; do
		file=$(uci -q get "oubli.@mqtt[0].$option")
		case "$file" in /etc/oubli/*) continue ;; esac
		[ ! -f "$file" ] || echo "$file" >>"$1"
	done
}

# Between two firmwares of the same gateway nothing is withdrawn: all goes on but the ledger's marks, by whose absence a ledger that comes
# from an archive is known (ANON-5). What a daemon calls a file names no file elsewhere: not by a line's end, and not by a second name.
oubli_stores() { # oubli_stores LIST
	local file
	[ -z "${CONF_BACKUP:-}" ] && [ "${CONF_BACKUP_LIST:-0}" = 0 ] || return 0
	find /srv/oubli /srv/oubli-spool /srv/oubli-root -xdev -type f ! -name 'ledger-*' ! -name '.*' 2>/dev/null | while IFS= read -r file; do
		case "$file" in /srv/oubli*) ;; *) continue ;; esac
		[ "$(ls -ld "$file" 2>/dev/null | sed -n '1s/^-[^ ]* *\([0-9]*\) .*/\1/p')" != 1 ] || echo "$file" >>"$1"
	done
}

# shellcheck disable=SC2034 # sysupgrade runs them
sysupgrade_init_conffiles="${sysupgrade_init_conffiles:-} oubli_broker_files oubli_stores"
