import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { rig, rigFile } from './world.js';

/*
 * The two agents a driver domain can have. A scenario knows no more of them than this, so that what it finds of one
 * can be compared with what it finds of the other.
 */
export interface Agent {
  readonly name: 'vifd' | 'xl devd';
  /** The systemd unit; its control group is what the agent and all its children cost. */
  readonly unit: string;
  /** Command lines for domnet. Starting stops the other agent, and leaves this one to start at boot. */
  readonly start: string;
  readonly stop: string;
  /** A line of its journal that nobody wants to see; `priority` is syslog's. */
  readonly complains: (message: string, priority: number) => boolean;
  /** Puts the agent into domnet. Where it is already, this is an upgrade: the running one is replaced. */
  install(): Promise<void>;
}

const root = new URL('../..', import.meta.url).pathname;
const run = promisify(execFile);

const [ours, stock] = ['vifd.service', 'xendriverdomain.service'];

/** `systemctl start` returns when the unit is active: with Type=notify, when vifd says it is ready. */
const starting = (unit: string, other: string) =>
  [
    `! systemctl is-enabled -q ${other} 2>/dev/null || systemctl -q disable --now ${other}`,
    `systemctl is-enabled -q ${unit} || systemctl -q enable ${unit}`,
    `systemctl is-active -q ${unit} || { systemctl reset-failed ${unit} 2>/dev/null; systemctl start ${unit}; }`,
  ].join('; ');

export const vifd: Agent = {
  name: 'vifd',
  unit: ours,
  start: starting(ours, stock),
  stop: `systemctl stop ${ours}`,
  complains: (_, priority) => priority <= 4,
  install: installVifd,
};

export const xlDevd: Agent = {
  name: 'xl devd',
  unit: stock,
  start: starting(stock, ours),
  stop: `systemctl stop ${stock}`,
  // It says everything at the same priority, and complains of its own start.
  complains: (message) => /libxl_(aoutils|device|linux|exec)/.test(message),
  async install() {
    await rig(['domnet', `systemctl try-restart ${stock}`]);
  },
};

/** What its users install: the package, of this working copy's build. */
async function installVifd(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'vifd-deb-'));
  try {
    await run(join(root, 'systemd/deb/build'), [dir]);
    const deb = readdirSync(dir).find((name) => name.endsWith('.deb'));
    if (deb === undefined) throw new Error('systemd/deb/build made no package');
    // Debian 13 has a Node vifd runs on. Debian 12 has not: the one that runs this is brought along.
    const brought = (await rig(['domnet', 'dpkg -s nodejs >/dev/null 2>&1 || echo no'])) !== '';
    if (brought) await write('/usr/bin/node', readFileSync(process.execPath), 755);
    await write('/root/vifd.deb', readFileSync(join(dir, deb)));
    await rig(['domnet', `dpkg ${brought ? '--force-depends' : ''} -i /root/vifd.deb`]);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** Writes a file in domnet, whole or not at all. */
async function write(path: string, content: Buffer, mode = 644): Promise<void> {
  const command = `cat >${path}.new && chmod ${mode} ${path}.new && mv ${path}.new ${path}`;
  const writing = run(rigFile, ['domnet', command]);
  writing.child.stdin?.end(content);
  await writing;
}
