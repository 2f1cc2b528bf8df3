#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash disable=SC2034,SC1091 # netifd reads these names
# Stands for odhcp6c, whose source isn't at hand: the protocol `dhcpv6` by busybox's udhcpc6, one address and one delegated prefix.
[ -n "$INCLUDE_ONLY" ] || {
	. /lib/functions.sh
	. ../netifd-proto.sh
	init_proto "$@"
}

proto_dhcpv6_init_config() {
	renew_handler=1
	proto_config_add_string 'reqaddress'
	proto_config_add_string 'reqprefix'
}

proto_dhcpv6_setup() {
	local config="$1" device="$2"
	proto_export "INTERFACE=$config"
	proto_run_command "$config" udhcpc6 -f -i "$device" -s /lib/netifd/dhcpv6.script -d -t 0 -R
}

proto_dhcpv6_renew() {
	kill -USR1 "$(cat "/var/run/udhcpc6-$2.pid" 2>/dev/null)" 2>/dev/null
}

proto_dhcpv6_teardown() {
	proto_kill_command "$1"
}

[ -n "$INCLUDE_ONLY" ] || add_protocol dhcpv6
