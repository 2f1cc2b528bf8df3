// SPDX-License-Identifier: Apache-2.0
'use strict';
'require view';
'require form';
'require rpc';
'require ui';
'require uci';
'require oubli.agent as agent';

// Duty, networks, broker, purposes and notice. Before anything is saved, the agent itself reads the whole file as it would be,
// and what it refuses is said at its field.

var callCheck = rpc.declare({ object: 'oubli', method: 'check', params: [ 'text' ] });
var callNetworks = rpc.declare({ object: 'network.interface', method: 'dump', expect: { interface: [] } });

var duties = {
	undeclared: _('not said yet'),
	portal: _('the portal'),
	radius: _('the RADIUS server'),
	'nat-log': _('whoever logs the NAT, such as the Internet provider\'s box'),
	oubli: _('oubli, by its purpose attribution'),
	none: _('nobody')
};
var grounds = {
	'IIbis-3': _('IIbis-3: wording in force'),
	'L336-3': _('L336-3: former wording'),
	STAD: _('STAD: former wording')
};
// Kind of field; its words; what it stands for where it is left empty.
var enabled = [ 'Flag', _('Switched on') ], lifetime = [ 'Value', _('Kept for'), '' ];
var tabs = [
	[ 'gateway', 'gateway', _('This gateway'), '', {
		duty: [ 'ListValue', _('Who answers authorities (L34-1 II)'), 'undeclared', duties ],
		lan: [ 'MultiValue', _('Networks of the guests'), [ 'lan' ] ],
		wan: [ 'MultiValue', _('Networks towards the Internet'), [ 'wan' ] ]
	} ],
	[ 'mqtt', 'mqtt', _('Broker of the anonymous sums'), '', {
		host: [ 'DynamicList', _('Hosts'), 'broker.example.org' ],
		port: [ 'Value', _('Port'), '8883' ],
		ca: [ 'Value', _('Authority (PEM)'), '/etc/oubli/broker-ca.pem' ],
		certificate: [ 'Value', _('Certificate (PEM)'), '' ],
		key: [ 'Value', _('Key (PEM)'), '' ],
		username: [ 'Value', _('User'), '' ],
		password_file: [ 'Value', _('File with the password'), '' ]
	} ],
	[ 'security', 'purpose', _('Purpose: security of the network (L34-1 IV)'),
		_('Each connection\'s metadata, in memory alone. It obliges to give the notice below to the guests.'),
		{ enabled: enabled, lifetime: [ 'Value', lifetime[1], '24h' ] } ],
	[ 'attribution', 'purpose', _('Purpose: attribution (L34-1 III)'),
		_('Who had which public port, sealed. Only on a ground of the law, with its reference, and with a custodian elsewhere whose keys are installed here. Nothing is opened but for a signed request.'), {
		enabled: enabled,
		ground: [ 'ListValue', _('Ground'), '', grounds ],
		wording: [ 'ListValue', _('Wording of that ground'), '',
			{ repealed: _('repealed, and known to be') } ],
		reference: [ 'Value', _('Reference of that ground'), '' ],
		lifetime: [ 'Value', lifetime[1], '365d' ],
		upstream_nat: [ 'ListValue', _('Another NAT lies between here and the Internet'), '',
			{ acknowledged: _('acknowledged: public ports then prove nothing') } ]
	} ],
	[ 'billing', 'purpose', _('Purpose: billing (L34-1 IV)'),
		_('Sessions of the portal\'s users, and of devices that have none, sealed. It obliges to have a custodian, and to name who makes out the bills.'), {
		enabled: enabled,
		lifetime: lifetime,
		biller: [ 'Value', _('Who makes out the bills'), '' ]
	} ],
	[ 'services', 'purpose', _('Purpose: services (L34-1 IV)'),
		_('Only of guests who have agreed; say below what it is for.'), { enabled: enabled } ],
	[ 'location', 'purpose', _('Purpose: location (L34-1 V)'),
		_('The access point of guests who have agreed; say below what it is for.'), { enabled: enabled } ],
	[ 'notice', 'notice', _('Notice for the guests (GDPR 13)'), '', {
		venue: [ 'Value', _('Venue'), '' ],
		controller: [ 'Value', _('Controller'), '' ],
		contact: [ 'Value', _('Contact'), '' ],
		dpo: [ 'Value', _('Data protection officer'), '' ],
		custodian: [ 'Value', _('Custodian of the keys'), '' ],
		services: [ 'Value', _('What a consent to services is for'), '' ],
		location: [ 'Value', _('What a consent to location is for'), '' ],
		page: [ 'Value', _('Name of the guests\' page'), '' ]
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
		var refused = answer && typeof answer === 'object' ? answer.error : _('the gateway doesn\'t answer');
		if (!refused)
			return;
		var found = /^\S*:\d+: (\w+)\.(\w+): (.*)$/.exec(refused) || /^\S*?: (\w+)\.(\w+): (.*)$/.exec(refused);
		var field = found && document.getElementById('cbi-oubli-' + found[1] + '-' + found[2]);
		if (field) {
			field.append(E('div', { 'class': 'alert-message warning oubli-refused', 'role': 'alert' }, [ agent.said(found[3]) ]));
			field.scrollIntoView();
			(field.querySelector('input, select') || field).focus();
		} else {
			ui.addNotification(null, E('p', {}, [ agent.said(refused) ]), 'danger');
		}
		throw new Error(agent.said(refused));
	});
}

return view.extend({
	load: function() {
		return Promise.all([ callNetworks().catch(() => []), uci.load('oubli').then(() => '', failure => failure.message) ]);
	},

	render: function(data) {
		if (!uci.get('oubli', 'gateway'))
			return E('div', {}, [ E('h2', {}, [ _('Settings of oubli') ]),
				E('p', {}, [ _('The configuration can\'t be read: %s').format(data[1].split('\n')[0] || '/etc/config/oubli') ]) ]);
		var map = new form.Map('oubli', _('Settings of oubli'),
			_('What the law doesn\'t allow is refused, and nothing is saved.'));
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
