// SPDX-License-Identifier: Apache-2.0
'use strict';
'require view';
'require rpc';
'require poll';

// Status, doctor's findings, the purposes, and a look-up, through ubus; nothing is set here. Every text goes in as text.

var callStatus = rpc.declare({ object: 'oubli', method: 'status' });
// LuCI sends what is asked at once as one request, for 20 seconds at most. Doctor tries the broker, which may take longer.
var callDoctor = rpc.declare({ object: 'oubli', method: 'doctor', nobatch: true });
var callLaw = rpc.declare({ object: 'oubli', method: 'law' });
var lookupFields = [ 'terminal', 'port', 'public_address', 'protocol', 'at', 'until', 'reason', 'report' ];
var callLookup = rpc.declare({ object: 'oubli', method: 'lookup', params: lookupFields });

// A call that fails, or is answered with something else, is a line of its own part: the rest of the page stays.
function asked(call) {
	return call().then(answer => answer && typeof answer === 'object' ? answer : { error: _('no answer') },
		failure => ({ error: String(failure && failure.message || failure) }));
}

function time(second) {
	return new Date(second * 1000).toISOString();
}

function row(cells) {
	return E('tr', { 'class': 'tr' }, cells.map(cell => E('td', { 'class': 'td left' }, [ String(cell) ])));
}

function table(titles, rows) {
	return E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, titles.map(title => E('th', { 'class': 'th' }, [ title ])))
	].concat(rows.map(row)));
}

function statusTable(status) {
	var rows = status.error ? [ [ _('Recorder'), status.error ] ] : [
		[ _('Gateway'), status.gateway ],
		[ _('Clock'), status.clock ],
		[ _('Capture'), status.capture ],
		[ _('Who answers requests'), status.duty ]
	];
	if (status.refused)
		rows.push([ _('Configuration refused, the last accepted one goes on'), status.refused ]);
	if ((status.missing || []).length)
		rows.push([ _('No such interface of the LAN'), status.missing.join(', ') ]);
	if (status.deaf)
		rows.push([ _('No connection has ended for a day'), _('although the kernel has some') ]);
	if (status.refusing)
		rows.push([ _('Flash refuses'), _('ledger and messages') ]);
	Object.keys(status.purposes || {}).sort().forEach(function(name) {
		var held = status.purposes[name];
		rows.push([ name, held.records + ' ' + _('records') + ', ' + held.bytes + ' ' + _('bytes') ]);
		if (held.trouble)
			rows.push([ _('Flash refuses'), name + ': ' + held.trouble ]);
	});
	Object.keys(status.counters || {}).sort().forEach(function(name) {
		if (name.indexOf('lost') === 0 && status.counters[name])
			rows.push([ name, status.counters[name] ]);
	});
	return table([ _('What'), _('Value') ], rows);
}

function findings(told) {
	var rows = (told.findings || [ { what: told.error || _('no answer') } ])
		.map(finding => [ finding.what, finding.why || '', finding.fix || '' ]);
	return rows.length ? table([ _('What'), _('Why it matters'), _('How to fix it') ], rows) : E('p', {}, [ _('Nothing was found.') ]);
}

// A port and its protocol, or a terminal; a time as 2026-11-25T10:00:00Z; a reason, which the audit log gets.
function lookup() {
	var fields = {}, found = E('div');
	var cells = lookupFields.map(function(name) {
		fields[name] = E('input', { 'type': 'text', 'class': 'cbi-input-text', 'maxlength': 40 });
		return E('label', {}, [ name + ' ', fields[name], ' ' ]);
	});
	var button = E('button', { 'class': 'cbi-button', 'click': function() {
		return asked(() => callLookup(...lookupFields.map(name => fields[name].value.trim()))).then(function(said) {
			if (said.error || !Array.isArray(said.rows))
				return found.replaceChildren(E('p', {}, [ said.error || _('no answer') ]));
			var rows = said.rows.map(one => [ time(one.start), one.seconds + ' s', one.terminal, one.address, one.protocol,
				one.source_port, one.translated_port, one.service ]);
			found.replaceChildren(
				E('p', {}, [
					said.second_nat ? _('A second NAT lies between: public ports can\'t be matched here.') : '', ' ',
					said.clock === 'trusted' ? '' : _('Nobody is named for sure. Clock:') + ' ' + said.clock, ' ',
					said.public_address ? _('No record has the public IPv4 address.') : '', ' ',
					said.unknown_before ? (document.documentElement.lang === 'fr' ? 'On ne sait rien d\'avant le' :
						_('Nothing is known of before')) + ' ' + time(said.unknown_before) + '.' : ''
				]),
				table([ _('Start'), _('Duration'), _('Terminal'), _('Address'), _('Protocol'), _('Port'), _('Public port'), _('Service') ], rows)
			);
		});
	} }, [ _('Look up') ]);
	return E('div', {}, cells.concat([ button, found ]));
}

return view.extend({
	load: function() {
		return Promise.all([ asked(callStatus), asked(callLaw) ]);
	},

	render: function(data) {
		var status = E('div', {}, [ statusTable(data[0]) ]);
		var doctor = E('div', {}, [ E('em', {}, [ _('Looking …') ]) ]);
		var purposes = (data[1].purposes || [])
			.map(held => [ held.purpose, held.paragraph, _(held.state), held.ceiling_seconds / 86400 + ' d' ]);

		asked(callDoctor).then(told => doctor.replaceChildren(findings(told)));
		poll.add(() => asked(callStatus).then(fresh => status.replaceChildren(statusTable(fresh))));

		return E('div', { 'class': 'cbi-map' }, [
			E('h2', {}, [ 'oubli' ]),
			E('h3', {}, [ _('Status') ]), status,
			E('h3', {}, [ _('Doctor') ]), doctor,
			E('h3', {}, [ _('Look up for the security of the network') ]), lookup(),
			E('h3', {}, [ _('Purposes of article L34-1') ]),
			data[1].error ? E('p', {}, [ data[1].error ]) : table([ _('Purpose'), _('Paragraph'), _('State'), _('At most') ], purposes)
		]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
