// SPDX-License-Identifier: Apache-2.0
// Stands for liblucihttp-ucode, whose source isn't at hand: what luci.http imports, in ucode.
export const ENCODE_IF_NEEDED = 1, ENCODE_FULL = 2, DECODE_IF_NEEDED = 1, DECODE_PLUS = 2;
export function urlencode(s, mode) {
	if (s == null) return null;
	return replace(`${s}`, mode == 2 ? /[^A-Za-z0-9]/g : /[^A-Za-z0-9$_.!*'(),-]/g, c => sprintf('%%%02x', ord(c)));
};
export function urldecode(s, mode) {
	if (s == null) return null;
	s = `${s}`;
	if ((mode ?? 0) & 2) s = replace(s, /\+/g, ' ');
	return replace(s, /%([0-9A-Fa-f][0-9A-Fa-f])/g, (m, h) => chr(hex(h)));
};
export function header_attribute(h, name) {
	if (h == null) return null;
	let parts = split(h, ';');
	if (name == null) return lc(trim(parts[0]));
	for (let p in slice(parts, 1)) {
		let m = match(trim(p), /^([^=]+)="?([^"]*)"?$/);
		if (m && lc(m[1]) == lc(name)) return m[2];
	}
	return null;
};
export function urlencoded_parser(cb, max) {
	let self = { TUPLE: 1, NAME: 2, VALUE: 3, EOF: 4, ERROR: 5 }, data = '';
	self.parse = function(chunk) {
		if (chunk != null && length(chunk)) { data += chunk; return true; }
		if (!length(data)) return true;
		for (let pair in split(data, '&')) {
			let at = index(pair, '=');
			cb(1, null, 0); cb(2, at < 0 ? pair : substr(pair, 0, at), 0); cb(3, at < 0 ? '' : substr(pair, at + 1), 0);
		}
		data = '';
		return true;
	};
	return self;
};
export function multipart_parser(type, cb, max) {
	return { parse: () => true };
};
