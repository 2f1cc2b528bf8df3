# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Stands in for jshn.sh, for one flat object of texts.
json_load() { _json=$1; }
json_get_vars() {
	for _name; do
		eval "$_name=\$(printf '%s' \"\$_json\" | sed -n 's/.*\"$_name\" *: *\"\([^\"]*\)\".*/\1/p')"
	done
}
