import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { rig, rigFile } from './rig.js';

/*
 * The two agents that a driver domain can have, behind one interface, so that scenarios compare them.
 */
export interface Agent {
  readonly name: 'vifd' | 'xl devd';
  /** The systemd unit; its control group counts the agent and all its children. */
  readonly unit: string;
  /** Command lines for domnet. Starting stops the other agent. */
  readonly start: string;
  readonly stop: string;
  /** Whether a line of its journal reports a problem; `priority` is syslog's. */
  readonly complains: (message: string, priority: number) => boolean;
  /**
   * Installs the agent in domnet, to be started at boot; where it is installed already, upgrades and restarts it.
   */
  install(): Promise<void>;
}

const root = new URL('../..', import.meta.url).pathname;
const run = promisify(execFile);

const [ours, stock] = ['vifd.service', 'xendriverdomain.service'];

/**
 * `systemctl start` returns when the unit is active: with Type=notify, when vifd says it is ready. It stops the other
 * agent, with which vifd's unit conflicts.
 */
const starting = (unit: string) =>
  `systemctl is-active -q ${unit} || { systemctl reset-failed ${unit} 2>/dev/null; systemctl start ${unit}; }`;

/** The agent that domnet starts when it boots. */
const chosen = (unit: string, other: string) =>
  `! systemctl -q is-enabled ${other} || systemctl -q disable --now ${other}; systemctl -q is-enabled ${unit} || systemctl -q enable ${unit}`;

export const vifd: Agent = {
  name: 'vifd',
  unit: ours,
  start: starting(ours),
  stop: `systemctl stop ${ours}`,
  complains: (_, priority) => priority <= 4,
  install: installVifd,
};

export const xlDevd: Agent = {
  name: 'xl devd',
  unit: stock,
  start: starting(stock),
  stop: `systemctl stop ${stock}`,
  // It logs everything at one priority, and an error at its own start.
  complains: (message) => /libxl_(aoutils|device|linux|exec)/.test(message),
  async install() {
    await rig(['domnet', `${chosen(stock, ours)}; systemctl try-restart ${stock}`]);
  },
};

let built: Promise<string> | undefined;

/** The package of this working copy's build, made once. */
export const vifdPackage = (): Promise<string> => {
  built ??= buildPackage();
  return built;
};

/** vifd as users install it: the package of this working copy's build, by apt. */
async function installVifd(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'vifd-deb-'));
  try {
    // Debian 13 has a Node that vifd runs on; Debian 12 gets the package with its own, the one that runs this program.
    const hasNode = (await rig(['domnet', 'dpkg -s nodejs >/dev/null 2>&1 || echo no'])) === '';
    const deb = hasNode ? await vifdPackage() : await buildPackage(`--with-node=${process.execPath}`);
    // A higher version than any before, so that apt upgrades it.
    await run('dpkg-deb', ['-R', deb, join(dir, 'vifd')]);
    const control = join(dir, 'vifd/DEBIAN/control');
    writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, `$&+${Date.now()}`));
    await run('dpkg-deb', ['-Zgzip', '-z1', '--root-owner-group', '-b', join(dir, 'vifd')]);
    await write('/var/tmp/vifd.deb', readFileSync(join(dir, 'vifd.deb')));
    const install = 'apt-get -qq install --no-install-recommends /var/tmp/vifd.deb && rm /var/tmp/vifd.deb';
    await rig(['domnet', `${install} && { ${chosen(ours, stock)}; }`]);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function buildPackage(...options: string[]): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'vifd-deb-'));
  process.once('exit', () => rmSync(dir, { recursive: true }));
  await run('env', ['DPKG_DEB_COMPRESSOR_TYPE=gzip', join(root, 'systemd/deb/build'), ...options, dir]);
  const deb = readdirSync(dir).find((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new Error('systemd/deb/build made no package');
  return join(dir, deb);
}

/** Writes a file in a domain. */
export async function write(path: string, content: Buffer, domain = 'domnet'): Promise<void> {
  const writing = run(rigFile, [domain, `cat >${path}`]);
  writing.child.stdin?.end(content);
  await writing;
}
