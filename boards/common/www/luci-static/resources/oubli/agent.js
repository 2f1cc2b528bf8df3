// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';

// What the agent says in English, in LuCI's language: doctor's findings, what was set right, refusals. %s is what is filled in.
var texts = [
	'%s bytes are too few: %s',
	'%s has mode %s',
	'%s is missing',
	'%s isn\'t installed',
	'%s isn\'t oubli-rec\'s',
	'%s isn\'t root\'s',
	'%s to %s',
	'%s, or option wording \'repealed\' beside it',
	'%s=%s was refused%s',
	'\'%s\' is above the ceiling of %s',
	'\'%s\' is below %s',
	'\'%s\' is not a number of whole days',
	'\'%s\' is of the wording repealed on 31 July 2021',
	'\'%s\' isn\'t accepted',
	'\'0\', or \'1\' once it is',
	'\'0\', or \'1\' with it set',
	'\'0\', or the duty of who answers',
	'0 or 1',
	'16 characters of a-z and 2-7',
	'16 characters of a-z and 2-7, made at first boot',
	'64 hexadecimal digits',
	'UTF-8, at most %s characters, no control character, no blank at an end, no lone ?, - or none',
	'a ; outside quotes',
	'a UCI file of at most %s bytes',
	'a backslash at the end',
	'a broker is configured, and no forwarder runs',
	'a bundle signed by the holder of custodian.pub',
	'a character that isn\'t printable ASCII',
	'a closing quote',
	'a control character',
	'a file of root, mode 0644',
	'a host name or address without a port, such as 192.168.1.1 or wifi.example.org',
	'a line that ends where it is',
	'a netlink socket gets a buffer of %s bytes, not %s',
	'a number and s, m, h or d, such as 24h',
	'a path where a larger medium is mounted',
	'a port and its protocol, or a terminal',
	'a program that can\'t be named',
	'a quote left open',
	'a rule translates as full-cone NAT',
	'a second section of this name (the first is in line %s)',
	'a terminal\'s MAC such as 02:00:00:00:00:01',
	'a terminal\'s present address',
	'a text',
	'a text of 1 to %s octets, no control character',
	'a text that isn\'t empty',
	'a time such as 2026-11-25T10:00:00Z',
	'a whole number from %s to %s',
	'above summary.epsilon_ceiling',
	'address: nobody on the LAN is known to hold it',
	'again in a moment',
	'again once it can',
	'an IPv4 or IPv6 address',
	'an absolute path without a slash at its end',
	'at most %s',
	'at most 24 h after from',
	'attribution erases them before the year is over: %s',
	'attribution erases them up to 1 day (2 in a leap year), 3 hours and one for each boot before the year is over, sooner still where nobody had confirmed the time, keeps the IP address alone of a terminal that isn\'t known, and nothing behind an unacknowledged second NAT',
	'attribution keeps, or kept, on a ground that is repealed or unknown',
	'behind a provider\'s box that provider alone can match a public port',
	'can\'t be read',
	'can\'t be read%s',
	'config TYPE \'NAME\', option NAME \'VALUE\', list NAME \'VALUE\'',
	'connections that the kernel could give no port: %s',
	'days with keys of the custodian: %s',
	'either terminal or address',
	'erase or make anonymous traffic data, but for the article\'s exceptions; free or accessory access too',
	'exactly one of these is needed',
	'flowtables with counter in the ruleset: %s',
	'flowtables with hardware offload in the ruleset: %s',
	'flowtables without counter in the ruleset: %s',
	'free on flash: %s bytes; needed at most: %s',
	'gateway, purpose, summary, metric, mqtt, vault, notice',
	'gateway.duty names nobody',
	'gateway.duty names nobody who answers authorities\' requests',
	'gateway.duty names oubli, and attribution is off',
	'gateway.lan (%s) leads to no interface %s',
	'gateway.wan has no IPv4 address: %s',
	'given twice',
	'ground %s is of the wording of 2014-2021: the one in force since 31 July 2021 knows %s instead',
	'have internal procedures that answer the authorities',
	'helper modules are loaded: %s',
	'helpers in the ruleset: %s',
	'it is kept for authorities, whom gateway.duty \'%s\' leaves without an answer',
	'it runs, and doesn\'t answer',
	'keep for 1 year, from the connection, what identifies its source or the terminal (serious crime, serious threats) (L34-1 II bis 3°, R10-13 IV (décret 2021-1361), décret 2021-1362)',
	'keep the civil identity (name, birth, postal and e-mail address, telephone) until 5 years after the end of the contract, a prepaid one too, and verify it as a décret will say (L34-1 II bis 1°, loi 2025-532 du 13 juin 2025 art. 29, R10-13 I (décret 2021-1361 du 20 octobre 2021), loi 2004-575 art. 6 et décret 2021-1362 du même jour)',
	'keep what was given for the contract or account, and payments, until 1 year after their end (L34-1 II bis 2°, R10-13 II et III (décret 2021-1361), décret 2021-1362)',
	'kernel modules are loaded: %s',
	'letters, digits and signs; comments and names may hold others',
	'libsodium can\'t be loaded, or lacks a function',
	'line %s isn\'t a row',
	'lookup.until: before from, or more than 24 h after it',
	'lookup: --at or --until: not understood',
	'lookup: not one question',
	'lookup: security isn\'t on',
	'metrics need %s thousandths',
	'metrics whose epsilons sum to at most %s',
	'missing',
	'missing: a record a connection doesn\'t fit a router\'s own flash',
	'mqtt.%s: absent',
	'mqtt.%s: not a file of oubli-fwd\'s alone',
	'mqtt.%s: the file holds no certificate that is valid now',
	'mqtt.%s: valid until %s-%s-%s only',
	'mqtt.insecure is 1 and the broker is another machine',
	'nf_conntrack_%s is %s, not 1',
	'nf_conntrack_%s is absent: connection tracking isn\'t loaded, or not able to',
	'nf_conntrack_helper is on: helpers attach to connections by port alone',
	'nf_conntrack_max %s takes %s of %s KiB when full',
	'no agent is enrolled',
	'no broker is configured: mqtt.host is missing',
	'no connection has ended for a day, and the kernel has some',
	'no key of the custodian for today',
	'no recorder runs',
	'not UCI',
	'not a bundle',
	'not a key',
	'not a list',
	'not for %s',
	'not in profile \'%s\'',
	'not set: %s',
	'not understood',
	'not written: %s',
	'nothing answers at port %s',
	'notice.%s isn\'t set',
	'on an authority\'s injunction, preserve what is held already',
	'on what is sealed (%s), the custodian, on a request of two agents (oubli request, oubli-custodian); on all else, nobody: gateway.duty names nobody',
	'on what is sealed (%s), the custodian, on a request of two agents (oubli request, oubli-custodian); on all else, nobody: gateway.duty names oubli, and attribution is off',
	'on what the gateway can\'t see (%s), nobody as long as it can\'t',
	'once it is',
	'once more',
	'one',
	'one agent alone is enrolled',
	'one command a line',
	'one, or lines of list %s',
	'openNDS lets no guest reach port %s',
	'option %s \'VALUE\'',
	'others listen to connection tracking: %s',
	'others than root can write it',
	'oubli asks for no identity, account or payment; gateway.duty names no portal',
	'oubli request enrol KEY, twice, for two agents',
	'oubli-watch doesn\'t run',
	'owner root, mode 0644, its folder 0755',
	'security changed while it was read, or has a segment of another version',
	'set %s=%s until the next boot',
	'somebody else is looking',
	'swap that isn\'t zram is on: %s',
	'text',
	'the WAN address is private, shared (100.64.0.0/10), or that of a translator',
	'the agents\' keys file isn\'t root\'s alone',
	'the audit log can\'t take it',
	'the broker takes no TCP connection within %s s',
	'the broker\'s name can\'t be resolved',
	'the clock shows a time before the program or its configuration was written',
	'the custodian\'s public signing key, put there by root',
	'the folder of volatile stores and keys isn\'t on tmpfs',
	'the forwarder runs, and isn\'t connected to the broker',
	'the kernel gives no socket for connection tracking%s',
	'the kernel\'s answer about the nftables ruleset contradicts itself',
	'the nftables ruleset can\'t be read%s',
	'the recorder doesn\'t trust the clock yet: %s',
	'the recorder runs as root',
	'the recorder runs without a seccomp filter',
	'the recorder runs without a seccomp filter, for this kernel has none',
	'the signature isn\'t the custodian\'s',
	'the system doesn\'t show what a clock with a battery said at power-up',
	'this isn\'t accepted',
	'unknown',
	'unknown metric',
	'unknown option',
	'unknown purpose',
	'what oubli-custodian bundle wrote',
	'what was kept isn\'t known',
	'which terminal isn\'t clear'
].sort((one, other) => other.length - one.length); // the one that says most comes first

var forms = texts.map(text => [ text, text.split('%s') ]);

// What is filled in between a form's parts, null where they don't fit. The next place where a part stands is as good as any later one.
function filled(parts, text) {
	var last = parts.length - 1, end = text.length - parts[last].length, at = parts[0].length, found = [];
	if (!last)
		return text === parts[0] ? found : null;
	if (!text.startsWith(parts[0]) || !text.endsWith(parts[last]))
		return null;
	for (var part of parts.slice(1, last)) {
		var next = text.indexOf(part, at);
		if (next < 0)
			return null;
		found.push(text.slice(at, next));
		at = next + part.length;
	}
	return at <= end ? found.concat(text.slice(at, end)) : null;
}

// A list in a place is filled in word by word: of a duty what it is about, and for how long that is kept. No page itself asks for
// _('requests of authorities') and _('24 hours').
function word(place) {
	return place.split(', ').map(function(one) {
		var days = /^(\d+) days$/.exec(one);
		return days ? N_(+days[1], '%d day', '%d days').format(+days[1]) : one && _(one);
	}).join(', ');
}

// The text, or null where none fits. Before it may stand of what it is said, or a duty, and behind it requirement and paragraph.
function one(text) {
	var parts = /^(.*?)( \((?:L34|ANON|EXP)-[^()]*\))?$/.exec(text), heads = [ 0 ];
	for (var at = text.indexOf(': '); at >= 0 && heads.length < 5; at = text.indexOf(': ', at + 1))
		heads.push(at + 2);
	for (var form of forms)
		for (var head of heads) {
			var found = parts && filled(form[1], parts[1].slice(head));
			if (found) {
				var said = _(form[0]).format(...found.map(word)) +
					(parts[2] || '').replace(/, (.*)\)$/, (all, paragraph) => ', ' + _(paragraph) + ')');
				var duty = head && one(parts[1].slice(0, head - 2));
				return duty ? _('%s: %s').format(duty, said) : parts[1].slice(0, head) + said;
			}
		}
	return null;
}

function half(text) {
	var list = text.split(', ').map(one);
	return list.every(said => said !== null) ? list.join(', ') : one(text) || text;
}

return baseclass.extend({
	// What fits none stays as it is, and what holds a value of some thousand letters.
	said: function(text) {
		if (String(text).length > 1000)
			return String(text);
		var parts = String(text).split('; accepted: '), wrong = half(parts.shift());
		return parts.length ? _('%s; accepted: %s').format(wrong, half(parts.join('; accepted: '))) : wrong;
	}
});
