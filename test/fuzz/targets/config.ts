import { parseConfig } from '../../../src/config/config.js';
import { ConfigError } from '../../../src/config/error.js';
import { sections } from '../../../src/config/keys.js';
import type { Target } from '../targets.js';

/** vifd.toml: any text is read, or refused by one line that names the file. */
export const config: Target = {
  name: 'config',
  seeds: [
    '[log]\nlevel = "debug"\n[antispoof]\nmode = "off"\n[netdev]\ntimeout = 10\n',
    '[scripts]\ndirectories = ["/etc/xen/scripts"]\ntimeout = 40\n[scripts.map]\n"vif-mine" = "bridge"\n',
    '[nat]\ndhcp = "dnsmasq"\ndns = ["192.0.2.53"]\nnetwork = "10.0.0.0/8"\nuplink = "eth0"\nprotect_host = true\n',
    '[[vif]]\nbridge = "xenbr0"\nmac = "00:16:3e:00:00:01"\nantispoof = "off"\nlimit = { from = "10mbit" }\nallow = ["192.0.2.0/24"]\n',
    '[[forward]]\nmac = "00:16:3e:00:00:01"\nports = ["tcp/80", "udp/53-60:5300"]\n[metrics]\nlisten = "127.0.0.1:9753"\n',
    '[bridge]\nlearning = true\nservices = ["dhcp", "dns", "tcp/3142"]\n[openvswitch]\ndatabase = "unix:/run/db.sock"\n',
  ],
  words: [
    ...Object.keys(sections).flatMap((name) => [`[${name}]\n`, `[[${name}]]\n`, name]),
    ...Object.values(sections).flatMap((section) => Object.keys(section).map((key) => `${key} = `)),
    ...[
      'true',
      'false',
      '"off"',
      '"on"',
      '[]',
      '{}',
      '[""]',
      '"10mbit"',
      '"tcp/80"',
      '"::1/128"',
      '\n',
      '"""',
      "'''",
      '1979-05-27T07:32:00Z',
    ],
  ],
  longest: 2000,
  run(input) {
    try {
      parseConfig(input.toString('utf8'), 'vifd.toml');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const { message } = error;
      if (!message.startsWith('vifd.toml: ') || /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(message))
        throw new Error(`not one line: ${JSON.stringify(message)}`);
    }
  },
};
