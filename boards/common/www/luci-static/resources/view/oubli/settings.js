// SPDX-License-Identifier: Apache-2.0
'use strict';
'require view';
'require form';
'require rpc';
'require ui';
'require uci';

// Duty, networks, broker, purposes and notice. Before anything is saved, the agent itself reads the whole file as it would be,
// and what it refuses is said at its field.

var french = document.documentElement.lang === 'fr';
var say = (english, translated) => french ? translated : _(english);

var callCheck = rpc.declare({ object: 'oubli', method: 'check', params: [ 'text' ] });
var callNetworks = rpc.declare({ object: 'network.interface', method: 'dump', expect: { interface: [] } });

var duties = {
	undeclared: say('not said yet', 'pas encore dit'),
	portal: say('the portal', 'le portail'),
	radius: say('the RADIUS server', 'le serveur RADIUS'),
	'nat-log': say('whoever logs the NAT, such as the Internet provider\'s box', 'qui journalise le NAT, comme la box du fournisseur d\'accès'),
	oubli: say('oubli, by its purpose attribution', 'oubli, par sa finalité attribution'),
	none: say('nobody owes anything here', 'personne n\'y est tenu ici')
};
var grounds = {
	'IIbis-3': say('IIbis-3: an order that is in force', 'IIbis-3 : une injonction en vigueur'),
	'L336-3': say('L336-3: former wording', 'L336-3 : ancienne rédaction'),
	STAD: say('STAD: former wording', 'STAD : ancienne rédaction')
};
// Kind of field; its words; what it stands for where it is left empty.
var enabled = [ 'Flag', say('On', 'Activée') ], lifetime = [ 'Value', say('Kept for', 'Conservé'), '' ];
var tabs = [
	[ 'gateway', 'gateway', say('This gateway', 'Cette borne'), '', {
		duty: [ 'ListValue', say('Who answers authorities (L34-1 II)', 'Qui répond aux autorités (L34-1 II)'), 'undeclared', duties ],
		lan: [ 'MultiValue', say('Networks of the guests', 'Réseaux des visiteurs'), [ 'lan' ] ],
		wan: [ 'MultiValue', say('Networks towards the Internet', 'Réseaux vers Internet'), [ 'wan' ] ]
	} ],
	[ 'mqtt', 'mqtt', say('Broker of the anonymous sums', 'Serveur des sommes anonymes'), '', {
		host: [ 'DynamicList', say('Hosts', 'Hôtes'), 'broker.example.org' ],
		port: [ 'Value', say('Port', 'Port'), '8883' ],
		ca: [ 'Value', say('Authority (PEM)', 'Autorité (PEM)'), '/etc/oubli/broker-ca.pem' ],
		certificate: [ 'Value', say('Certificate (PEM)', 'Certificat (PEM)'), '' ],
		key: [ 'Value', say('Key (PEM)', 'Clé (PEM)'), '' ],
		username: [ 'Value', say('User', 'Utilisateur'), '' ],
		password_file: [ 'Value', say('File with the password', 'Fichier du mot de passe'), '' ]
	} ],
	[ 'security', 'purpose', say('Purpose: security of the network (L34-1 IV)', 'Finalité : sécurité du réseau (L34-1 IV)'),
		say('Each connection\'s metadata, in memory alone. It obliges to give the notice below to the guests.',
			'Les métadonnées de chaque connexion, en mémoire seulement. Elle oblige à donner la notice aux visiteurs.'),
		{ enabled: enabled, lifetime: [ 'Value', lifetime[1], '24h' ] } ],
	[ 'attribution', 'purpose', say('Purpose: attribution (L34-1 III)', 'Finalité : attribution (L34-1 III)'),
		say('Who had which public port, sealed. Only under an order: its ground and reference, and a custodian elsewhere whose keys are installed here. Nothing is opened but for a signed request.',
			'Qui avait quel port public, scellé. Seulement par une injonction : son fondement et sa référence, et un tiers de confiance dont les clés sont installées ici. Rien n\'est ouvert que pour une demande signée.'), {
		enabled: enabled,
		ground: [ 'ListValue', say('Ground', 'Fondement'), '', grounds ],
		wording: [ 'ListValue', say('Wording of that ground', 'Rédaction de ce fondement'), '',
			{ repealed: say('repealed, and known to be', 'abrogée, et on le sait') } ],
		reference: [ 'Value', say('Reference of the order', 'Référence de l\'injonction'), '' ],
		lifetime: [ 'Value', lifetime[1], '365d' ],
		upstream_nat: [ 'ListValue', say('Another NAT lies between here and the Internet', 'Un autre NAT se trouve entre ici et Internet'), '',
			{ acknowledged: say('acknowledged: public ports then prove nothing', 'pris en compte : les ports publics ne prouvent alors rien') } ]
	} ],
	[ 'billing', 'purpose', say('Purpose: billing (L34-1 IV)', 'Finalité : facturation (L34-1 IV)'),
		say('Sessions of the portal\'s users, sealed. It obliges to have a custodian, and to name who makes out the bills.',
			'Les sessions des utilisateurs du portail, scellées. Elle oblige à avoir un tiers de confiance et à nommer qui facture.'), {
		enabled: enabled,
		lifetime: lifetime,
		biller: [ 'Value', say('Who makes out the bills', 'Qui facture'), '' ]
	} ],
	[ 'services', 'purpose', say('Purpose: services (L34-1 IV)', 'Finalité : services (L34-1 IV)'),
		say('Only of guests who have agreed; say below what it is for.', 'Seulement des visiteurs qui ont donné leur accord ; dites à quoi cela sert dans la notice.'), { enabled: enabled } ],
	[ 'location', 'purpose', say('Purpose: location (L34-1 V)', 'Finalité : localisation (L34-1 V)'),
		say('The access point of guests who have agreed; say below what it is for.', 'Le point d\'accès des visiteurs qui ont donné leur accord ; dites à quoi cela sert dans la notice.'), { enabled: enabled } ],
	[ 'notice', 'notice', say('Notice for the guests (GDPR 13)', 'Notice pour les visiteurs (RGPD 13)'), '', {
		venue: [ 'Value', say('Venue', 'Établissement'), '' ],
		controller: [ 'Value', say('Controller', 'Responsable du traitement'), '' ],
		contact: [ 'Value', say('Contact', 'Contact'), '' ],
		dpo: [ 'Value', say('Data protection officer', 'Délégué à la protection des données'), '' ],
		custodian: [ 'Value', say('Custodian of the keys', 'Tiers qui détient les clés'), '' ],
		services: [ 'Value', say('What a consent to services is for', 'À quoi sert un accord aux services'), '' ],
		location: [ 'Value', say('What a consent to location is for', 'À quoi sert un accord à la localisation'), '' ],
		page: [ 'Value', say('Name of the guests\' page', 'Nom de la page des visiteurs'), '' ]
	} ]
];

// The file as it would be: an option that is taken back is none.
function written() {
	var quoted = value => "'" + String(value).replace(/'/g, "'\\''") + "'";
	return uci.sections('oubli').map(function(section) {
		var name = section['.name'], lines = [ 'config ' + section['.type'] + ' ' + quoted(name) ];
		Object.keys(section).filter(option => option[0] !== '.').forEach(function(option) {
			var value = uci.get('oubli', name, option);
			if (Array.isArray(value))
				value.forEach(one => lines.push('list ' + option + ' ' + quoted(one)));
			else if (value != null)
				lines.push('option ' + option + ' ' + quoted(value));
		});
		return lines.join('\n') + '\n';
	}).join('\n');
}

function check() {
	document.querySelectorAll('.oubli-refused').forEach(old => old.remove());
	return callCheck(written()).then(function(answer) {
		var refused = answer && typeof answer === 'object' ? answer.error : say('the gateway doesn\'t answer', 'la borne ne répond pas');
		if (!refused)
			return;
		var found = /^\S*:\d+: (\w+)\.(\w+): (.*)$/.exec(refused) || /^\S*?: (\w+)\.(\w+): (.*)$/.exec(refused);
		var field = found && document.getElementById('cbi-oubli-' + found[1] + '-' + found[2]);
		if (field) {
			field.append(E('div', { 'class': 'alert-message warning oubli-refused', 'role': 'alert' }, [ found[3] ]));
			field.scrollIntoView();
		} else {
			ui.addNotification(null, E('p', {}, [ refused ]), 'danger');
		}
		throw new Error(refused);
	});
}

return view.extend({
	load: function() {
		return Promise.all([ callNetworks().catch(() => []), uci.load('oubli') ]);
	},

	render: function(data) {
		var map = new form.Map('oubli', say('Settings of oubli', 'Réglages d\'oubli'),
			say('What the law doesn\'t allow is refused, and nothing is saved.', 'Ce que la loi ne permet pas est refusé, et rien n\'est enregistré.'));
		var names = data[0].map(one => one.interface).filter(name => name !== 'loopback');
		tabs.forEach(function(tab) {
			if (!uci.get('oubli', tab[0]))
				uci.add('oubli', tab[1], tab[0]);
			var section = map.section(form.NamedSection, tab[0], tab[1], tab[2], tab[3]);
			Object.keys(tab[4]).forEach(function(name) {
				var field = tab[4][name], option = section.option(form[field[0]], name, field[1]);
				if (field[0] === 'Flag') {
					option.default = tab[0] === 'security' ? '1' : '0';
					option.rmempty = false;
				} else if (field[0] === 'MultiValue') {
					option.default = field[2];
					new Set(names.concat(uci.get('oubli', tab[0], name) || field[2])).forEach(one => option.value(one));
				} else if (field[3]) {
					if (!field[2]) {
						option.value('', '-');
						option.optional = true;
					}
					Object.keys(field[3]).forEach(key => option.value(key, field[3][key]));
					option.default = field[2];
				} else {
					option.placeholder = field[2];
				}
			});
		});
		map.save = told => form.Map.prototype.save.call(map, () => check().then(told), true);
		return map.render();
	}
});
