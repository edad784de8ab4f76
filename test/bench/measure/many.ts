import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Probe, type Seen } from '../../support/process/probe.js';
import { rssMb } from '../agents.js';
import type { Shape } from '../scene.js';
import type { Session } from '../session.js';
import { timedStart } from './start.js';

/** How many stand beside, in steps. */
const steps = [100, 300, 1000] as const;
const turns = 3;

/** The next vif beside more and more, and what 1,000 cost: memory, a start, and the event loop. */
export async function measureMany(session: Session): Promise<void> {
  const { domnet, scene } = session;
  const daemon = await domnet.vifd();
  let present = 0;
  try {
    await warm(session);
    for (const step of steps) {
      session.say(`beside ${step}`);
      await scene.surround('ipv4', step - present);
      present = step;
      for (session.turn = 0; session.turn < turns; session.turn++)
        for (const shape of ['plain', 'ipv4'] as const) await next(session, shape, `${shape}.${step}`);
    }
  } finally {
    await daemon.terminate();
  }
  const probe = new Probe(domnet.dir);
  for (session.turn = 0; session.turn < turns; session.turn++) await besideAll(session, probe, present);
  session.turn = 0;
}

/** A start beside all of them, and after that what holds the event loop. */
async function besideAll(session: Session, probe: Probe, present: number): Promise<void> {
  const { domnet, scene } = session;
  session.say('start beside 1,000');
  const plain = await timedStart(session);
  session.add('start.1000', 'vifd', plain.ms);
  await sleep(500);
  session.add('memory.vif', 'vifd', ((rssMb(plain.daemon.pid) - session.idleMb) * 1024) / present);
  await plain.daemon.terminate();
  const { daemon } = await timedStart(session, probe.env);
  try {
    // Before this it loads its code, and serves nothing.
    const serves = statSync(join(domnet.dir, 'control.sock')).ctimeMs;
    session.add('stall.start', 'vifd', longest(await probe.take(), serves));
    const status = await domnet.command('status', '--json');
    if (status.status !== 0) throw new Error(status.stderr);
    session.add('stall.status', 'vifd', longest(await probe.take()));
    await warm(session);
    await probe.take();
    for (let i = 0; i < 3; i++) {
      await scene.time('ipv4');
      session.add('stall.attach', 'vifd', longest(await probe.take()));
    }
    if (session.turn > 0) return;
    session.say("the minute's round");
    await sleep(61_000);
    session.add('stall.round', 'vifd', longest(await probe.take()));
  } finally {
    await daemon.terminate();
  }
}

/** NAT: 400 at once, and one beside 400. */
export async function measureNat(session: Session): Promise<void> {
  const { domnet, scene } = session;
  session.say('NAT');
  const probe = new Probe(domnet.dir);
  const daemon = await domnet.vifd({ env: probe.env });
  try {
    await warm(session);
    await probe.take();
    for (session.turn = 0; session.turn < 2; session.turn++) {
      session.add('burst.nat', 'vifd', await scene.time('nat', 400));
      session.add('stall.nat', 'vifd', longest(await probe.take()));
    }
    await scene.surround('nat', 400);
    for (session.turn = 0; session.turn < turns; session.turn++) await next(session, 'nat', 'nat.400');
    session.turn = 0;
  } finally {
    await daemon.terminate();
  }
}

async function next(session: Session, shape: Shape, row: string): Promise<void> {
  for (let i = 0; i < 8; i++) session.add(row, 'vifd', await session.scene.time(shape));
}

async function warm({ scene }: Session): Promise<void> {
  for (let i = 0; i < 15; i++) await scene.time(i % 2 === 0 ? 'plain' : 'ipv4');
}

/** The longest time that the event loop stood still, of stalls that began later than this. */
const longest = ({ stalls }: Seen, since = 0): number =>
  Math.max(0, ...stalls.filter(({ from }) => from >= since).map(({ ms }) => ms));
