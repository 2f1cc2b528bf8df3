# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Stands in for jshn.sh, for one flat object of texts, read or written.
json_load() { _json=$1; }
json_get_vars() {
	for _name; do
		_text=$(printf '%s' "$_json" | sed -n 's/.*"'"$_name"'" *: *"\(\([^"\\]\|\\.\)*\)".*/\1/p' | sed 's/\\"/"/g')
		eval "$_name=\$(printf '%b' \"\$_text\")"
	done
}
json_init() { _json=''; }
json_add_string() { _json="$_json${_json:+, }\"$1\": \"$(printf '%s' "$2" | sed 's/[\\"]/\\&/g' | awk '{ printf "%s%s", end, $0; end = "\\n" }')\""; }
json_dump() { printf '{ %s }\n' "$_json"; }
