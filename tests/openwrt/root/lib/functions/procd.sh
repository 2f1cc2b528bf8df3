# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Stands in for procd.sh: each call is a line of words, each word between the characters 0x1f, in /tmp/procd.calls.
_record() {
	printf '%s' "$1" >>/tmp/procd.calls
	shift
	for _word; do printf '\037%s' "$_word" >>/tmp/procd.calls; done
	echo >>/tmp/procd.calls
}
for _call in open_service open_instance set_param append_param add_jail add_jail_mount add_jail_mount_rw close_instance \
	add_reload_trigger kill open_data close_data; do
	eval "procd_$_call() { _record $_call \"\$@\"; }"
done
for _call in add_array add_object add_string close_array close_object; do
	eval "json_$_call() { _record json_$_call \"\$@\"; }"
done
procd_close_service() {
	service_triggers
	_record close_service
}
