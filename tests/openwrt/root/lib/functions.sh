# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Stands in for OpenWrt's functions.sh: what the scripts of a package call, on a running system and on an offline root.
# Which package: apk's scripts export its name, opkg's are called NAME.postinst.
_package() { _name=${pkgname:-$(basename "${1%.*}")}; }
_lists() { cat "$1/lib/apk/packages/$_name.list" "$1/usr/lib/opkg/info/$_name.list" 2>/dev/null; }
_users() {
	cat "$1/lib/apk/packages/$_name.rusers" 2>/dev/null || sed -n 's/^Require-User: *//p' "$1/usr/lib/opkg/info/$_name.control" 2>/dev/null
}
add_group_and_user() {
	_package "${1:-}"
	_root=${IPKG_INSTROOT:-}
	for _tuple in $(_users "$_root"); do
		_user=${_tuple%%:*} _group=${_tuple#*:}
		for _entry in $_group $_user; do
			grep -q "^$_entry:" "$_root/etc/group" || echo "$_entry:x:$((32768 + $(wc -l <"$_root/etc/group"))):" >>"$_root/etc/group"
		done
		[ -n "$_user" ] || continue
		_gid=$(sed -n "s/^$_group:x:\([0-9]*\):.*/\1/p" "$_root/etc/group")
		_uid=$((32768 + $(wc -l <"$_root/etc/passwd")))
		grep -q "^$_user:" "$_root/etc/passwd" || echo "$_user:x:$_uid:$_gid:$_user:/var/run/$_user:/bin/false" >>"$_root/etc/passwd"
	done
}
# Of a package's configuration the sections that have names.
config_load() { _config=$1; }
config_foreach() { # config_foreach FUNCTION TYPE WORD...
	_function=$1 _type=$2
	shift 2
	_sections=$(sed -n "s/^config $_type '\([^']*\)'$/\1/p" "/etc/config/$_config" 2>/dev/null)
	for _section in $_sections; do
		"$_function" "$_section" "$@"
	done
}
config_get() { eval "$1=\$(uci -q get '$_config.$2.$3')"; }
default_postinst() {
	_root=${IPKG_INSTROOT:-}
	add_group_and_user "${1:-}"
	if [ -z "$_root" ]; then
		for _file in $(_lists "" | grep '^/etc/uci-defaults/'); do
			# shellcheck disable=SC1090
			[ ! -f "$_file" ] || { (. "$_file") && rm -f "$_file"; }
		done
	fi
	for _file in $(_lists "$_root" | grep '^/etc/init.d/'); do
		[ "${_root:-${PKG_UPGRADE:-}}" = 1 ] || /bin/sh "$_root/etc/rc.common" "$_root$_file" enable
		[ -n "$_root" ] || /bin/sh /etc/rc.common "$_file" start
	done
}
default_prerm() {
	_package "${1:-}"
	_root=${IPKG_INSTROOT:-}
	for _file in $(_lists "$_root" | grep '^/etc/init.d/'); do
		[ "${_root:-${PKG_UPGRADE:-}}" = 1 ] || /bin/sh "$_root/etc/rc.common" "$_root$_file" disable
		[ -n "$_root" ] || /bin/sh /etc/rc.common "$_file" stop
	done
}
