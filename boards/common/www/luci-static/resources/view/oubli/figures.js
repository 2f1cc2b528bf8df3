// SPDX-License-Identifier: Apache-2.0
'use strict';
'require view';
'require form';

// Which figures are published, and what each profile tells of a venue: as `oubli-sim advise` has it, from the noise alone.
// Nothing that the gateway has counted is asked for: advice that followed it would be one more figure.

var DAY = _('terminals of the day'), HOUR = _('busiest hour');
// For venues below so many terminals a day: what is published, what isn't; each figure with its share of a café's day,
// and at epsilon 1 the noise's standard deviation and half-width (95 %).
var profiles = {
	tiny: { below: 40, tells: 'dayparts, presence', not: 'volume, active, classes', rows: [
		[ DAY, 1, 4.649, 9.2 ], [ _('busiest 4 hours'), 0.34, 2.421, 5.07 ] ] },
	small: { below: 150, tells: 'arrivals, presence', not: 'volume, active, classes', rows: [
		[ DAY, 1, 6.159, 12.2 ], [ HOUR, 0.104, 2.474, 5.23 ] ] },
	medium: { below: 3000, tells: 'arrivals, presence, volume, active, classes', not: '', rows: [
		[ DAY, 1, 10.502, 20.8 ], [ HOUR, 0.104, 5.541, 11.68 ] ] },
	large: { below: Infinity, tells: 'tenminutes, stays, traffic, active, classes', not: '', rows: [
		[ DAY, 1, 14.975, 29.5 ], [ HOUR, 0.104, 13.544, 26.98 ],
		[ _('busiest 10 minutes'), 0.0174, 5.623, 11.94 ] ] }
};

function rounded(value) {
	return value.toLocaleString(document.documentElement.lang || 'en', { minimumFractionDigits: 1, maximumFractionDigits: 1, useGrouping: false });
}

function advice(terminals) {
	if (!(terminals >= 1 && terminals <= 1000000))
		return E('p', {}, [ _('A number from 1 to 1,000,000.') ]);
	var meant = Object.keys(profiles).find(name => terminals < profiles[name].below);
	var titles = [ _('Profile'), _('Figure'), _('True value'), '± (95 %)', _('Error a day'), _('a week'), _('four weeks') ];
	var rows = Object.keys(profiles).flatMap(name => profiles[name].rows.map((row, number) => {
		var truth = terminals * row[1];
		return [ number ? '' : name + (name === meant ? ' *' : ''), row[0], rounded(truth), rounded(row[3]) ]
			.concat([ 1, 7, 28 ].map(days => rounded(100 * row[2] / Math.sqrt(days) / truth) + ' %'));
	}));
	return E('div', {}, [
		E('table', { 'class': 'table' }, [
			E('tr', { 'class': 'tr table-titles' }, titles.map(title => E('th', { 'class': 'th' }, [ title ])))
		].concat(rows.map(cells => E('tr', { 'class': 'tr' }, cells.map((cell, place) =>
			E('td', { 'class': 'td left', 'data-title': titles[place] }, [ cell ])))))),
		E('p', {}, [ _('* meant for this size. Errors: one standard deviation, of a mean day. Hours are those of a café; with yours: oubli-sim advise --venue.') ])
	]);
}

return view.extend({
	render: function() {
		var found = E('div', { 'aria-live': 'polite' }, [ advice(100) ]);
		var field = E('input', { 'type': 'number', 'min': 1, 'max': 1000000, 'value': 100, 'class': 'cbi-input-text', 'input': function() {
			found.replaceChildren(advice(Number(field.value)));
		} });
		var map = new form.Map('oubli', _('Published figures'),
			_('A change within a day costs epsilon once more; after a second one that day publishes no sum.'));
		var section = map.section(form.NamedSection, 'summary', 'summary');
		var enabled = section.option(form.Flag, 'enabled', _('Publish anonymous sums'));
		enabled.default = '1';
		var option = section.option(form.ListValue, 'profile', _('Profile'));
		option.default = 'medium';
		Object.keys(profiles).forEach(name => option.value(name));
		// Advice is there where the configuration can't be read, too
		return map.render().catch(failure => E('p', {}, [ String(failure.message || failure).split('\n')[0] ])).then(drawn => E('div', {}, [
			drawn,
			E('h3', {}, [ _('What each profile will tell') ]),
			E('label', {}, [ _('Terminals on a mean day, as you know it') + ' ', field ]),
			found
		].concat(Object.keys(profiles).map(name => E('p', {}, [ profiles[name].not ?
			_('%s: %s; not %s').format(name, profiles[name].tells, profiles[name].not) : _('%s: %s').format(name, profiles[name].tells) ])))));
	}
});
