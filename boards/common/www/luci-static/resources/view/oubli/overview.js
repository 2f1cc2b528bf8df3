// SPDX-License-Identifier: Apache-2.0
'use strict';
'require view';
'require rpc';
'require poll';

// Status, published figures, doctor's findings, a look-up, the purposes, the notice and the audit log, through ubus. Every text
// goes in as text.

var french = document.documentElement.lang === 'fr';
var say = (english, translated) => french ? translated : _(english);

var callStatus = rpc.declare({ object: 'oubli', method: 'status' });
var callSummary = rpc.declare({ object: 'oubli', method: 'summary', params: [ 'day' ] });
// LuCI sends what is asked at once as one request, for 20 seconds at most. Doctor tries the broker, which may take longer.
var callDoctor = rpc.declare({ object: 'oubli', method: 'doctor', nobatch: true });
var callFix = rpc.declare({ object: 'oubli', method: 'fix', nobatch: true });
var callLaw = rpc.declare({ object: 'oubli', method: 'law' });
var callNotice = rpc.declare({ object: 'oubli', method: 'notice', params: [ 'language' ] });
var callLog = rpc.declare({ object: 'oubli', method: 'log' });
var lookupFields = [ 'terminal', 'port', 'public_address', 'protocol', 'at', 'until', 'reason', 'report' ];
var callLookup = rpc.declare({ object: 'oubli', method: 'lookup', params: lookupFields });

var none = say('no answer', 'pas de réponse');
var purposeNames = {
	security: say('security of the network', 'sécurité du réseau'),
	attribution: 'attribution',
	billing: say('billing', 'facturation'),
	services: say('services', 'services'),
	location: say('location', 'localisation'),
	consent: say('consent', 'accord'),
	freeze: say('freeze', 'gel')
};
var metricNames = {
	arrivals: say('Arrivals by hour', 'Arrivées par heure'),
	dayparts: say('Arrivals by four hours', 'Arrivées par quatre heures'),
	tenminutes: say('Arrivals by ten minutes', 'Arrivées par dix minutes'),
	presence: say('Terminals by quarter-hours with traffic', 'Terminaux par quarts d\'heure avec du trafic'),
	stays: say('Terminals by quarter-hours with traffic', 'Terminaux par quarts d\'heure avec du trafic'),
	volume: say('Terminals by MiB up and down', 'Terminaux par Mio montants et descendants'),
	traffic: say('Terminals by MiB up and down', 'Terminaux par Mio montants et descendants'),
	active: say('Terminals by hours (UTC)', 'Terminaux par tranches d\'heures (UTC)'),
	classes: say('Terminals by service class', 'Terminaux par type de service')
};
var severities = { error: say('error', 'erreur'), warning: say('warning', 'avertissement'), note: say('note', 'remarque') };
var states = { on: say('on', 'activée'), off: say('off', 'désactivée'), 'off, still kept': say('off, still kept', 'désactivée, encore conservée'),
	'by order': say('by order', 'sur injonction') };

// A call that fails, or is answered with something else, is a line of its own part: the rest of the page stays.
function asked(call) {
	return call().then(answer => answer && typeof answer === 'object' ? answer : { error: none },
		failure => ({ error: String(failure && failure.message || failure) }));
}

function time(second) {
	return new Date(second * 1000).toISOString();
}

function local(second) {
	return new Date(second * 1000).toLocaleString(french ? 'fr' : 'en', { weekday: 'short', hour: '2-digit', minute: '2-digit' });
}

function length(seconds) {
	return seconds % 86400 || seconds < 172800 ? Math.round(seconds / 3600) + ' h' : seconds / 86400 + say(' days', ' jours');
}

function row(cells) {
	return E('tr', { 'class': 'tr' }, cells.map(cell => E('td', { 'class': 'td left' }, [ cell && cell.nodeType ? cell : String(cell) ])));
}

function table(titles, rows) {
	return E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, titles.map(title => E('th', { 'class': 'th' }, [ title ])))
	].concat(rows.map(row)));
}

function statusTable(status) {
	var rows = status.error ? [ [ say('Recorder', 'Enregistreur'), status.error ] ] : [
		[ say('Gateway', 'Borne'), status.gateway ],
		[ say('Clock', 'Horloge'), status.clock ],
		[ say('Capture', 'Capture'), status.capture ],
		[ say('Who answers requests', 'Qui répond aux demandes'), status.duty ]
	];
	if (status.refused)
		rows.push([ say('Configuration refused, the last accepted one goes on', 'Configuration refusée, la dernière acceptée continue'), status.refused ]);
	if ((status.missing || []).length)
		rows.push([ say('No such interface of the LAN', 'Aucune interface de ce nom'), status.missing.join(', ') ]);
	if (status.deaf)
		rows.push([ say('No connection has ended for a day', 'Aucune connexion n\'a fini depuis un jour'), say('although the kernel has some', 'alors que le noyau en a') ]);
	if (status.refusing)
		rows.push([ say('Flash refuses', 'La mémoire flash refuse'), say('ledger and messages', 'registre et messages') ]);
	Object.keys(status.purposes || {}).sort().forEach(function(name) {
		var held = status.purposes[name], kept = held.records + ' ' + say('records', 'enregistrements') + ', ' + held.bytes + ' ' + say('bytes', 'octets') +
			'; ' + say('kept', 'conservés') + ' ' + length(held.lifetime_seconds);
		// What is held is of windows: when in the oldest its first record began isn't known
		if (held.records)
			kept += '; ' + say('the oldest goes by', 'le plus ancien disparaît d\'ici') + ' ' +
				local(Date.now() / 1000 + held.lifetime_seconds - Math.max(held.oldest_seconds - (held.window_seconds || 0), 0));
		rows.push([ purposeNames[name] || name, kept ]);
		if (held.trouble)
			rows.push([ say('Flash refuses', 'La mémoire flash refuse'), name + ': ' + held.trouble ]);
	});
	Object.keys(status.counters || {}).sort().forEach(function(name) {
		if (name.indexOf('lost') === 0 && status.counters[name])
			rows.push([ name, status.counters[name] ]);
	});
	return table([ say('What', 'Quoi'), say('Value', 'Valeur') ], rows);
}

// A figure with its ± (95 %), and a bar of both; what noise alone may give has no bar.
function bar(value, figure, most) {
	var told = value >= figure.below, part = one => Math.max(0, 100 * one / most).toFixed(1) + '%';
	var low = Math.max(0, value - figure.half_width), marks = told ? [
		E('div', { 'style': 'position:absolute;height:100%;background:currentColor;opacity:.5;width:' + part(value) }),
		E('div', { 'style': 'position:absolute;height:100%;background:currentColor;opacity:.3;left:' + part(low) + ';width:' + part(value + figure.half_width - low) })
	] : [];
	return E('div', {}, [
		told ? value + ' ± ' + figure.half_width : '< ' + figure.below + ' (' + say('too small to say', 'trop petit pour être dit') + ')',
		E('div', { 'aria-hidden': 'true', 'style': 'position:relative;height:.5em;overflow:hidden' }, marks)
	]);
}

function day(answer) {
	if (!Array.isArray(answer.figures) || !answer.figures.length)
		return E('p', {}, [ answer.error || say('Nothing was published yet.', 'Rien n\'a encore été publié.') ]);
	var most = {};
	answer.figures.forEach(figure => figure.values.forEach(value =>
		most[figure.metric] = Math.max(most[figure.metric] || 1, value + figure.half_width)));
	return E('div', {}, Object.keys(most).map(name => E('details', { 'open': '' }, [
		E('summary', {}, [ metricNames[name] || name ]),
		table([ say('Which', 'Lesquels'), say('Terminals', 'Terminaux') ], answer.figures.filter(figure => figure.metric === name).flatMap(figure =>
			figure.values.map((value, cell) => [ (figure.end - figure.start < 86400 ? local(figure.start) + ' ' : '') +
				(figure.values.length > 1 ? figure.cells[cell] : ''), bar(value, figure, most[name]) ])))
	])));
}

// The newest day that has figures, and the day before it.
function published() {
	return asked(callSummary).then(function(newest) {
		var date = newest.figures && newest.figures.length ? newest.figures[0].day : null;
		if (!date)
			return [ day(newest) ];
		var before = new Date(Date.parse(date) - 86400000).toISOString().slice(0, 10);
		return asked(() => callSummary(before)).then(former => [
			E('h4', {}, [ date ]), day(newest), E('h4', {}, [ before ]), day(former)
		]);
	});
}

function findings(told) {
	var rows = (told.findings || [ { what: told.error || none } ])
		.map(finding => [ severities[finding.severity] || finding.severity || '', finding.what, finding.why || '', finding.fix || '' ]);
	var repairs = (told.repairs || []).map(repair => E('p', {}, [ repair.what ]));
	return E('div', {}, repairs.concat([ rows.length ? table([ say('Severity', 'Gravité'), say('What', 'Quoi'), say('Why it matters', 'Pourquoi'),
		say('How to fix it', 'Que faire') ], rows) : E('p', {}, [ say('Nothing was found.', 'Rien n\'a été trouvé.') ]) ]));
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
				return found.replaceChildren(E('p', {}, [ said.error || none ]));
			var rows = said.rows.map(one => [ time(one.start), one.seconds + ' s', one.terminal, one.address, one.protocol,
				one.source_port, one.translated_port, one.service ]);
			found.replaceChildren(
				E('p', {}, [
					said.second_nat ? say('A second NAT lies between: public ports can\'t be matched here.', 'Un second NAT se trouve entre : les ports publics ne prouvent rien ici.') : '', ' ',
					said.clock === 'trusted' ? '' : say('Nobody is named for sure. Clock:', 'Personne n\'est désigné avec certitude. Horloge :') + ' ' + said.clock, ' ',
					said.public_address ? say('No record has the public IPv4 address.', 'Aucun enregistrement n\'a l\'adresse IPv4 publique.') : '', ' ',
					said.unknown_before ? say('Nothing is known of before', 'On ne sait rien d\'avant le') + ' ' + time(said.unknown_before) + '.' : ''
				]),
				table([ say('Start', 'Début'), say('Duration', 'Durée'), say('Terminal', 'Appareil'), say('Address', 'Adresse'), say('Protocol', 'Protocole'),
					'Port', say('Public port', 'Port public'), 'Service' ], rows)
			);
		});
	} }, [ say('Look up', 'Chercher') ]);
	return E('div', {}, cells.concat([ button, found ]));
}

// A text that is fetched once it is wanted; what it was can be printed.
function paper(title, call) {
	var text = E('pre', { 'style': 'white-space:pre-wrap' }), box = E('details', { 'toggle': function() {
		if (box.open)
			asked(call).then(answer => text.replaceChildren(answer.text || answer.error || none));
	} }, [ E('summary', {}, [ title ]), E('button', { 'class': 'cbi-button', 'click': function() {
		var sheet = window.open('', '_blank');
		sheet.document.body.style.whiteSpace = 'pre-wrap';
		sheet.document.body.textContent = text.textContent;
		sheet.print();
	} }, [ say('Print', 'Imprimer') ]), text ]);
	return box;
}

return view.extend({
	load: function() {
		return Promise.all([ asked(callStatus), asked(callLaw) ]);
	},

	render: function(data) {
		var status = E('div', {}, [ statusTable(data[0]) ]);
		var waiting = () => E('em', {}, [ say('Looking …', 'Un instant …') ]);
		var doctor = E('div', {}, [ waiting() ]), figures = E('div', {}, [ waiting() ]);
		var purposes = (data[1].purposes || [])
			.map(held => [ purposeNames[held.purpose] || held.purpose, held.paragraph, states[held.state] || held.state, length(held.ceiling_seconds) ]);
		var examine = call => asked(call).then(told => doctor.replaceChildren(findings(told)));

		examine(callDoctor);
		published().then(parts => figures.replaceChildren(...parts));
		poll.add(() => asked(callStatus).then(fresh => status.replaceChildren(statusTable(fresh))));

		return E('div', { 'class': 'cbi-map' }, [
			E('h2', {}, [ 'oubli' ]),
			E('h3', {}, [ say('Status', 'État') ]), status,
			E('h3', {}, [ say('Published figures', 'Chiffres publiés') ]), figures,
			E('h3', {}, [ say('Doctor', 'Diagnostic') ]), doctor,
			E('button', { 'class': 'cbi-button', 'click': function() {
				doctor.replaceChildren(waiting());
				return examine(callFix);
			} }, [ say('Set right what can do no harm', 'Corriger ce qui est sans risque') ]),
			E('h3', {}, [ say('Look up for the security of the network', 'Rechercher pour la sécurité du réseau') ]), lookup(),
			E('h3', {}, [ say('Purposes of article L34-1', 'Finalités de l\'article L34-1') ]),
			data[1].error ? E('p', {}, [ data[1].error ]) : table([ say('Purpose', 'Finalité'), say('Paragraph', 'Alinéa'), say('State', 'État'), say('At most', 'Au plus') ], purposes),
			E('h3', {}, [ say('Papers', 'Documents') ]),
			paper(say('Notice for the guests, French', 'Notice pour les visiteurs, en français'), () => callNotice('fr')),
			paper(say('Notice for the guests, English', 'Notice pour les visiteurs, en anglais'), () => callNotice('en')),
			paper(say('Audit log, with authorities\' requests', 'Journal d\'audit, avec les demandes des autorités'), callLog)
		]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
