// SPDX-License-Identifier: Apache-2.0
'use strict';
'require view';
'require form';

// Which figures are published, and what each profile tells of a venue: as `oubli-sim advise` has it, from the noise alone.
// Nothing that the gateway has counted is asked for: advice that followed it would be one more figure.

var say = (english, french) => document.documentElement.lang === 'fr' ? french : _(english);

var DAY = say('terminals of the day', 'terminaux du jour'), HOUR = say('busiest hour', 'heure de pointe');
// For venues below so many terminals a day: what is published, what isn't; each figure with its share of a café's day,
// and at epsilon 1 the noise's standard deviation and half-width (95 %).
var profiles = {
	tiny: { below: 40, tells: 'dayparts, presence', not: 'volume, active, classes', rows: [
		[ DAY, 1, 4.649, 9.2 ], [ say('busiest 4 hours', '4 heures de pointe'), 0.34, 2.421, 5.07 ] ] },
	small: { below: 150, tells: 'arrivals, presence', not: 'volume, active, classes', rows: [
		[ DAY, 1, 6.159, 12.2 ], [ HOUR, 0.104, 2.474, 5.23 ] ] },
	medium: { below: 3000, tells: 'arrivals, presence, volume, active, classes', not: '', rows: [
		[ DAY, 1, 10.502, 20.8 ], [ HOUR, 0.104, 5.541, 11.68 ] ] },
	large: { below: Infinity, tells: 'tenminutes, stays, traffic, active, classes', not: '', rows: [
		[ DAY, 1, 14.975, 29.5 ], [ HOUR, 0.104, 13.544, 26.98 ],
		[ say('busiest 10 minutes', '10 minutes de pointe'), 0.0174, 5.623, 11.94 ] ] }
};

function advice(terminals) {
	if (!(terminals >= 1 && terminals <= 1000000))
		return E('p', {}, [ say('A number from 1 to 1,000,000.', 'Un nombre de 1 à 1 000 000.') ]);
	var meant = Object.keys(profiles).find(name => terminals < profiles[name].below);
	var titles = [ say('Profile', 'Profil'), say('Figure', 'Chiffre'), say('True value', 'Valeur vraie'), '± (95 %)',
		say('Error a day', 'Erreur par jour'), say('a week', 'par semaine'), say('four weeks', 'en quatre semaines') ];
	var rows = Object.keys(profiles).flatMap(name => profiles[name].rows.map((row, number) => {
		var truth = terminals * row[1];
		return [ number ? '' : name + (name === meant ? ' *' : ''), row[0], truth.toFixed(1), row[3].toFixed(1) ]
			.concat([ 1, 7, 28 ].map(days => (100 * row[2] / Math.sqrt(days) / truth).toFixed(1) + ' %'));
	}));
	return E('div', {}, [
		E('table', { 'class': 'table' }, [
			E('tr', { 'class': 'tr table-titles' }, titles.map(title => E('th', { 'class': 'th' }, [ title ])))
		].concat(rows.map(cells => E('tr', { 'class': 'tr' }, cells.map(cell => E('td', { 'class': 'td left' }, [ cell ])))))),
		E('p', {}, [ say('* meant for this size. Errors: one standard deviation, of a mean day. Hours are those of a café; with yours: oubli-sim advise --venue.',
			'* prévu pour cette taille. Erreurs : un écart-type, d\'un jour moyen. Les heures sont celles d\'un café ; avec les vôtres : oubli-sim advise --venue.') ])
	]);
}

return view.extend({
	render: function() {
		var found = E('div', { 'aria-live': 'polite' }, [ advice(100) ]);
		var field = E('input', { 'type': 'number', 'min': 1, 'max': 1000000, 'value': 100, 'class': 'cbi-input-text', 'input': function() {
			found.replaceChildren(advice(Number(field.value)));
		} });
		var map = new form.Map('oubli', say('Published figures', 'Chiffres publiés'),
			say('A change within a day costs epsilon once more; after a second one that day publishes no sum.',
				'Un changement dans la journée coûte epsilon une fois de plus ; après un second, ce jour ne publie aucune somme.'));
		var section = map.section(form.NamedSection, 'summary', 'summary');
		var enabled = section.option(form.Flag, 'enabled', say('Publish anonymous sums', 'Publier des sommes anonymes'));
		enabled.default = '1';
		var option = section.option(form.ListValue, 'profile', say('Profile', 'Profil'));
		option.default = 'medium';
		Object.keys(profiles).forEach(name => option.value(name));
		return map.render().then(drawn => E('div', {}, [
			drawn,
			E('h3', {}, [ say('What each profile will tell', 'Ce que dira chaque profil') ]),
			E('label', {}, [ say('Terminals on a mean day, as you know it', 'Terminaux un jour moyen, selon vous') + ' ', field ]),
			found
		].concat(Object.keys(profiles).map(name => E('p', {}, [ name + ': ' + profiles[name].tells +
			(profiles[name].not ? '; ' + say('not', 'sans') + ' ' + profiles[name].not : '') ])))));
	}
});
