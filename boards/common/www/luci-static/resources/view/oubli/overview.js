// SPDX-License-Identifier: Apache-2.0
'use strict';
'require view';
'require rpc';
'require poll';
'require oubli.agent as agent';

// Status, requests, published figures, doctor's findings, a look-up, the purposes, the notice and the audit log, through ubus.
// Every text goes in as text.

var callStatus = rpc.declare({ object: 'oubli', method: 'status' });
var callSummary = rpc.declare({ object: 'oubli', method: 'summary', params: [ 'day' ] });
// LuCI sends what is asked at once as one request, for 20 seconds at most. Doctor tries the broker, which may take longer.
var callDoctor = rpc.declare({ object: 'oubli', method: 'doctor', nobatch: true });
var callFix = rpc.declare({ object: 'oubli', method: 'fix', nobatch: true });
var callLaw = rpc.declare({ object: 'oubli', method: 'law' });
var callNotice = rpc.declare({ object: 'oubli', method: 'notice', params: [ 'language' ] });
var callLog = rpc.declare({ object: 'oubli', method: 'log' });
var callLookup = rpc.declare({ object: 'oubli', method: 'lookup', params: [
	'terminal', 'port', 'public_address', 'protocol', 'at', 'until', 'reason', 'report' ] });

var none = _('no answer');
var purposeNames = {
	security: _('security of the network'),
	attribution: 'attribution',
	billing: _('billing'),
	services: _('services'),
	location: _('location'),
	consent: _('consent'),
	freeze: _('freeze')
};
var metricNames = {
	arrivals: _('Arrivals by hour'),
	dayparts: _('Arrivals by four hours'),
	tenminutes: _('Arrivals by ten minutes'),
	presence: _('Terminals by quarter-hours with traffic'),
	stays: _('Terminals by quarter-hours with traffic'),
	volume: _('Terminals by MiB up and down'),
	traffic: _('Terminals by MiB up and down'),
	active: _('Terminals by hours (UTC)'),
	classes: _('Terminals by service class')
};
var severities = { error: _('error'), warning: _('warning'), note: _('note') };
var states = { on: _('active'), off: _('inactive'), 'off, still kept': _('inactive, still kept'),
	'off, perhaps still kept': _('inactive, perhaps still kept'), 'by order': _('by order') };
// What the recorder says of its clock, of capture, and of who answers; the last ones are the settings' own words.
var words = {
	trusted: _('trusted'), doubtful: _('doubtful'), floor: _('not confirmed since the last start'), unknown: _('not known'),
	ok: _('fine'), misconfigured: _('the kernel tells too little of connections'), 'no-lan': _('an interface of the LAN is missing'),
	undeclared: _('not said yet'), portal: _('the portal'), radius: _('the RADIUS server'), 'nat-log': _('whoever logs the NAT'),
	oubli: _('oubli'), none: _('nobody')
};

// A call that fails, or is answered with something else, is a line of its own part: the rest of the page stays.
function asked(call) {
	return call().then(answer => answer && typeof answer === 'object' ? answer :
		{ error: typeof answer === 'number' ? rpc.getStatusText(answer) : none },
	failure => ({ error: String(failure && failure.message || failure).split('\n')[0] }));
}

// The same for an answer that isn't as it should be.
function drawn(draw, answer) {
	try {
		return answer.error ? E('p', {}, [ agent.said(answer.error) ]) : draw(answer);
	} catch (failure) {
		return E('p', {}, [ none ]);
	}
}

function time(second) {
	return new Date(second * 1000).toISOString().slice(0, 19) + 'Z';
}

function local(second) {
	var soon = second * 1000 - Date.now() < 6 * 86400000, how = soon ? { weekday: 'short' } : { year: 'numeric', month: 'short', day: 'numeric' };
	return new Date(second * 1000).toLocaleString(document.documentElement.lang || 'en', Object.assign({ hour: '2-digit', minute: '2-digit' }, how));
}

function length(seconds) {
	if (seconds % 3600)
		return Math.ceil(seconds / 60) + ' min';
	return seconds % 86400 || seconds < 172800 ? seconds / 3600 + ' h' : N_(seconds / 86400, '%d day', '%d days').format(seconds / 86400);
}

// On a phone LuCI's theme shows each cell's title beside it.
function table(titles, rows) {
	return E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, titles.map(title => E('th', { 'class': 'th' }, [ title ])))
	].concat(rows.map(cells => E('tr', { 'class': 'tr' }, cells.map((cell, place) => E('td', {
		'class': 'td left', 'data-title': titles[place], 'style': 'overflow-wrap:anywhere'
	}, [ cell && cell.nodeType ? cell : String(cell == null ? '-' : cell) ]))))));
}

function statusTable(status) {
	var rows = [
		[ _('This gateway'), status.gateway ],
		[ _('Clock'), words[status.clock] || status.clock ],
		[ _('Capture'), words[status.capture] || status.capture ],
		[ _('Who answers requests'), words[status.duty] || status.duty ]
	];
	if (status.refused)
		rows.push([ _('Configuration refused, the last accepted one goes on'), agent.said(status.refused) ]);
	if ((status.missing || []).length)
		rows.push([ _('No such interface of the LAN'), status.missing.join(', ') ]);
	if (status.deaf)
		rows.push([ _('No connection has ended for a day'), _('although the kernel has some') ]);
	if (status.refusing)
		rows.push([ _('Flash refuses'), _('ledger and messages') ]);
	Object.keys(status.purposes || {}).sort().forEach(function(name) {
		var held = status.purposes[name], kept = N_(held.records, '%d record', '%d records').format(held.records) + ', ' +
			N_(held.bytes, '%d byte', '%d bytes').format(held.bytes) + _('; kept at most %s').format(length(held.lifetime_seconds));
		// What is held is of windows: when in the oldest its first record began isn't known
		if (held.records)
			kept += _('; the oldest goes by %s').format(
				local(Date.now() / 1000 + held.lifetime_seconds - Math.max(held.oldest_seconds - (held.window_seconds || 0), 0)));
		rows.push([ purposeNames[name] || name, kept ]);
		if (held.trouble)
			rows.push([ _('Flash refuses'), (purposeNames[name] || name) + ': ' + held.trouble ]);
	});
	Object.keys(status.counters || {}).sort().forEach(function(name) {
		if (name.indexOf('lost') === 0 && status.counters[name])
			rows.push([ _(name), status.counters[name] ]);
	});
	return table([ _('What'), _('Value') ], rows);
}

// Signed requests that haven't expired, of authorities, of who disputes a bill, of a person herself: of whom isn't known here.
function requests(status) {
	if (!status.requests)
		return E('p', {}, [ _('Flash refuses') ]);
	var rows = status.requests.map(one => [
		one.number, purposeNames[one.purpose] || one.purpose, one.since ? time(one.since) : null, time(one.until),
		one.since ? _('handed over: for the custodian') : _('being written, %d %%').format(Math.floor(100 * one.written / one.octets))
	]);
	return rows.length ? table([ _('Number'), _('Purpose'), _('Since'), _('Until'), _('State') ], rows) : E('p', {}, [ _('None is open.') ]);
}

// A figure with its ± (95 %), and a bar of both; what noise alone may give has no bar.
function bar(value, figure, most) {
	var told = value >= figure.below, part = one => Math.max(0, 100 * one / most).toFixed(1) + '%';
	var low = Math.max(0, value - figure.half_width), marks = told ? [
		E('div', { 'style': 'position:absolute;height:100%;background:currentColor;opacity:.5;width:' + part(value) }),
		E('div', { 'style': 'position:absolute;height:100%;background:currentColor;opacity:.3;left:' + part(low) + ';width:' + part(value + figure.half_width - low) })
	] : [];
	return E('div', {}, [
		told ? value + ' ± ' + figure.half_width : _('< %d (too small to say)').format(figure.below),
		E('div', { 'aria-hidden': 'true', 'style': 'position:relative;height:.5em;overflow:hidden' }, marks)
	]);
}

function day(answer) {
	if (!answer.figures.length)
		return E('p', {}, [ _('Nothing was published yet.') ]);
	var most = {};
	answer.figures.forEach(figure => figure.values.forEach(value =>
		most[figure.metric] = Math.max(most[figure.metric] || 1, value + figure.half_width)));
	return E('div', {}, Object.keys(most).map(name => E('details', { 'open': '' }, [
		E('summary', {}, [ metricNames[name] || name ]),
		table([ _('Which'), _('Terminals') ], answer.figures.filter(figure => figure.metric === name).flatMap(figure =>
			figure.values.map((value, cell) => [ (figure.end - figure.start < 86400 ? local(figure.start) + ' ' : '') +
				(figure.values.length > 1 ? figure.cells[cell] : ''), bar(value, figure, most[name]) ])))
	])));
}

// The newest day that has figures, and the day before it.
function published() {
	return asked(callSummary).then(function(newest) {
		var date = newest.figures && newest.figures.length ? newest.figures[0].day : null;
		if (!date)
			return [ drawn(day, newest) ];
		var before = new Date(Date.parse(date) - 86400000).toISOString().slice(0, 10);
		return asked(() => callSummary(before)).then(former => [
			E('h4', {}, [ date ]), drawn(day, newest), E('h4', {}, [ before ]), drawn(day, former)
		]);
	}).catch(() => [ E('p', {}, [ none ]) ]);
}

function findings(told) {
	var rows = told.findings.map(finding => [ severities[finding.severity] || finding.severity, agent.said(finding.what), _(finding.why), _(finding.fix) ]);
	var repairs = (told.repairs || []).map(repair => E('p', {}, [ agent.said(repair.what) ]));
	return E('div', {}, repairs.concat([ rows.length ? table([ _('Severity'), _('What'), _('Why it matters'),
		_('How to fix it') ], rows) : E('p', {}, [ _('Nothing was found.') ]) ]));
}

// A port and its protocol, or a terminal; a time as 2026-11-25T10:00:00Z; a reason, which the audit log gets.
var lookupFields = {
	terminal: [ _('Terminal'), 'aa:bb:cc:dd:ee:ff' ],
	port: [ _('Port'), '40000' ],
	public_address: [ _('Public address'), '203.0.113.7' ],
	protocol: [ _('Protocol'), 'tcp, udp, icmp, icmp6' ],
	at: [ _('At'), '2026-11-25T10:00:00Z' ],
	until: [ _('Until'), '2026-11-25T10:05:00Z' ],
	reason: [ _('Reason'), 'abuse, attack, malware, fault' ],
	report: [ _('Report'), '17' ]
};

function rows(said) {
	return E('div', {}, [
		E('p', {}, [
			said.second_nat ? _("A second NAT lies between: public ports can't be matched here.") : '', ' ',
			said.clock === 'trusted' ? '' : _('Nobody is named for sure. Clock: %s').format(words[said.clock] || said.clock), ' ',
			said.public_address ? _('No record has the public IPv4 address.') : '', ' ',
			said.unknown_before ? _('Nothing is known of before %s.').format(time(said.unknown_before)) : ''
		]),
		table([ _('Start'), _('Duration'), _('Terminal'), _('Address'), _('Protocol'), _('Port'), _('Public port'), _('Service') ],
			said.rows.map(one => [ time(one.start), one.seconds + ' s', one.terminal, one.address, one.protocol,
				one.source_port, one.translated_port, one.service ]))
	]);
}

function lookup() {
	var fields = {}, found = E('div', { 'aria-live': 'polite' });
	return E('form', { 'submit': function(pressed) {
		pressed.preventDefault();
		return asked(() => callLookup(...Object.keys(fields).map(name => fields[name].value.trim())))
			.then(said => found.replaceChildren(drawn(rows, said)));
	} }, Object.keys(lookupFields).map(function(name) {
		fields[name] = E('input', { 'type': 'text', 'class': 'cbi-input-text', 'maxlength': 40, 'placeholder': lookupFields[name][1] });
		return E('label', { 'style': 'display:inline-block;margin-right:1em' }, [ lookupFields[name][0] + ' ', fields[name] ]);
	}).concat([ E('button', { 'class': 'cbi-button', 'type': 'submit' }, [ _('Look up') ]), found ]));
}

// A text that is fetched once it is wanted, below what the gateway says of it; the text can be printed.
function paper(title, call) {
	var beside = E('p'), text = E('pre', { 'style': 'white-space:pre-wrap' }), box = E('details', { 'toggle': function() {
		if (box.open)
			asked(call).then(function(answer) {
				var said = answer.error || answer.beside;
				beside.replaceChildren(said ? agent.said(said) : '');
				text.replaceChildren(String(answer.text || (said ? '' : none)));
			});
	} }, [ E('summary', {}, [ title ]), E('button', { 'class': 'cbi-button', 'click': function() {
		var sheet = window.open('', '_blank');
		if (!sheet) // the browser allows none
			return window.print();
		sheet.document.body.style.whiteSpace = 'pre-wrap';
		sheet.document.body.textContent = text.textContent;
		sheet.print();
	} }, [ _('Print') ]), beside, text ]);
	return box;
}

return view.extend({
	load: function() {
		return Promise.all([ asked(callStatus), asked(callLaw) ]);
	},

	render: function(data) {
		var now = answer => [ E('h3', {}, [ _('Status') ]), drawn(statusTable, answer) ].concat(answer.error ? [] :
			[ E('h3', {}, [ _('Open requests') ]), drawn(requests, answer) ]);
		var status = E('div', {}, now(data[0]));
		var waiting = () => E('em', {}, [ _('Looking …') ]);
		var doctor = E('div', { 'aria-live': 'polite' }, [ waiting() ]), figures = E('div', {}, [ waiting() ]);
		var examine = call => asked(call).then(told => doctor.replaceChildren(drawn(findings, told)));

		examine(callDoctor);
		published().then(parts => figures.replaceChildren(...parts));
		poll.add(() => asked(callStatus).then(function(answer) {
			var fresh = E('div', {}, now(answer));
			if (!fresh.isEqualNode(status)) // what is selected stays selected
				status.replaceChildren(...fresh.childNodes);
		}));

		return E('div', { 'class': 'cbi-map' }, [
			E('h2', {}, [ 'oubli' ]),
			status,
			E('h3', {}, [ _('Published figures') ]), figures,
			E('h3', {}, [ _('Doctor') ]), doctor,
			E('button', { 'class': 'cbi-button', 'click': function() {
				doctor.replaceChildren(waiting());
				return examine(callFix);
			} }, [ _('Set right what can do no harm') ]),
			E('h3', {}, [ _('Look up for the security of the network') ]), lookup(),
			E('h3', {}, [ _('Purposes of article L34-1') ]),
			drawn(answer => table([ _('Purpose'), _('Paragraph'), _('State'), _('At most') ], answer.purposes.map(held =>
				[ purposeNames[held.purpose] || held.purpose, _(held.paragraph), states[held.state] || held.state, length(held.ceiling_seconds) ])), data[1]),
			E('h3', {}, [ _('Papers') ]),
			paper(_('Notice for the guests, French'), () => callNotice('fr')),
			paper(_('Notice for the guests, English'), () => callNotice('en')),
			paper(_('Audit log, with signed requests'), callLog)
		]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
