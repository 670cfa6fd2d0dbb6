/**
 * The gateway: the only file that knows all the rooms. Wires them, starts, reloads and closes them (shell: it makes
 * the run's key and identity, and owns what is open).
 */
import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from './core/clock.js';
import { GatewayError } from './core/errors.js';
import type { LookUp } from './dns/look-up.js';
import type { Resolver } from './dns/resolver.js';
import { createDnsRoom, type DnsRoom } from './dns/room.js';
import { serveDnsTcp, serveDnsUdp } from './dns/serve.js';
import { createSystemResolver } from './dns/system-resolver.js';
import { createBus, type EventBus, type EventQuery } from './events/bus.js';
import type { Emit, Event } from './events/event.js';
import type { Sink } from './events/feeder.js';
import { serialNames } from './events/serial.js';
import type { EventStore } from './events/store.js';
import { type Door, doorOf, type Sandbox, sandboxOf } from './gateway/door.js';
import { enterCorridor } from './gateway/inner-door.js';
import { compileLayers } from './gateway/layers.js';
import { changeFact, LiveSecrets } from './gateway/live-secrets.js';
import { portsOf, secretFiles, stopReason } from './gateway/of-policy.js';
import { refusalsOf } from './gateway/refusals.js';
import { refuseUnsafeProcess } from './gateway/safe-process.js';
import { type Meter, ScriptHost } from './gateway/scripts.js';
import { secretsIn } from './gateway/secrets-in.js';
import { Tenant } from './gateway/tenant.js';
import type { Flow, SandboxId } from './net/flow.js';
import { openVestibule, TAP_LEASE, type Vestibule } from './net/vestibule/index.js';
import { decide } from './policy/decide.js';
import type { Policy, PolicyDocument } from './policy/policy.js';
import type { Gate, ProxyContext } from './proxy/context.js';
import { createLimits } from './proxy/limits/limits.js';
import { createShares } from './proxy/limits/shares.js';
import type { Ca } from './proxy/tls/ca.js';
import type { UpstreamTimes } from './proxy/upstream/connect.js';
import type { Dialler } from './proxy/upstream/dial.js';
import { loadTrust, type Trust } from './proxy/upstream/trust.js';
import { createUpstream, type Upstream } from './proxy/upstream/upstream.js';
import { sandboxEnvironment } from './secrets/environment.js';
import type { PlaceholderOwner } from './secrets/placeholder.js';
import { redactAll } from './secrets/redact.js';
import type { Environment } from './secrets/sources.js';
import { CENSOR, type SandboxSecrets, type SecretSet, SecretStore } from './secrets/store.js';
import { type Backend, type CommandSpec, type RunningCommand, startCommand, trustFor } from './vm/index.js';

export type { Door, Sandbox, SandboxCommand } from './gateway/door.js';

export interface GatewayOptions {
  /** The policy's layers, the most general first. */
  readonly layers: readonly PolicyDocument[];
  readonly ca: Ca;
  /** Values given on the command line, by secret. */
  readonly literals?: ReadonlyMap<string, string>;
  /** Where `value_from: env` looks. Default: the process's environment. */
  readonly env?: Environment;
  /** PEM files whose roots are trusted beside the system's. */
  readonly upstreamCa?: readonly string[];
  readonly sinks?: readonly Sink[];
  /** Told of what is no event; metrics are made of it. */
  readonly meter?: Meter;
  /** Keeps every event (`openSpool`); the gateway closes it. */
  readonly spool?: EventStore;
  /** Told of a sink's troubles. */
  readonly onTrouble?: (sink: string, error: unknown) => void;
  /** 32 bytes that placeholders are made with; default: new ones. */
  readonly placeholderKey?: Uint8Array;
  /** Told of the placeholders that a sandbox is given, before it has them; what it throws keeps the sandbox out. */
  readonly onPlaceholders?: (owners: readonly PlaceholderOwner[]) => void;
  /** The outer door's parts, for tests: a resolver, where a connection really goes, what is trusted. */
  readonly resolver?: Resolver;
  readonly lookUp?: LookUp;
  readonly dialler?: Dialler;
  readonly trust?: Trust;
  readonly times?: Partial<UpstreamTimes>;
  readonly clock?: Clock;
}

/** One sandbox's traffic, whatever door it comes in by. */
export interface Admitted {
  readonly id: SandboxId;
  readonly dns: DnsRoom;
  /** Judges and serves one flow to its end. Never rejects. */
  accept(flow: Flow): Promise<void>;
  /** The sandbox's environment: placeholders where values were. */
  environment(env: Environment): Record<string, string>;
  /** Ends its connections and forgets it. */
  release(): void;
}

/** Compiles the policy, loads the secrets, starts. Throws `GatewayError`. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  refuseUnsafeProcess(options.env ?? process.env, process.execArgv);
  const policy = compileLayers(options.layers, 1, options.sinks);
  const trust = options.trust ?? (await loadTrust(options.upstreamCa ?? []));
  const { env = process.env, literals = new Map(), clock = systemClock } = options;
  const secrets = new LiveSecrets(env, literals, trust, clock);
  const values = await secrets.load(policy.secrets);
  const scripts = await ScriptHost.open(policy.script, options.meter);
  secrets.use(values);
  return new Gateway(options, policy, secrets, trust, scripts);
}

/** Made by `createGateway`. */
export class Gateway implements AsyncDisposable {
  readonly bus: EventBus;
  readonly #options: GatewayOptions;
  readonly #clock: Clock;
  readonly #store: SecretStore;
  readonly #upstream: Upstream;
  readonly #lookUp: LookUp;
  readonly #open = new Map<SandboxId, Tenant>();
  readonly #shares = createShares();
  /** Sees all values, so that no event can hold one. */
  #censor: SandboxSecrets;
  #policy: Policy;
  readonly #secrets: LiveSecrets;
  readonly #scripts: ScriptHost;
  /** What was said of released sandboxes may still wait for its annotations. */
  readonly #leaving = new Set<Promise<void>>();
  readonly #nextRequestId = serialNames('r-');

  constructor(
    options: GatewayOptions,
    policy: Policy,
    secrets: LiveSecrets,
    trust: Trust,
    scripts: ScriptHost,
  ) {
    this.#options = options;
    this.#scripts = scripts;
    this.#clock = options.clock ?? systemClock;
    this.#policy = policy;
    this.#secrets = secrets;
    const gatewayId = randomBytes(8).toString('hex');
    this.#store = new SecretStore(options.placeholderKey ?? randomBytes(32), gatewayId);
    this.#censor = this.#store.forSandbox(CENSOR, secrets.set);
    secrets.onChange = change => {
      this.#replaceSecrets(change.set);
      this.bus.emit(changeFact(change));
    };
    this.bus = createBus({
      gatewayId,
      clock: this.#clock,
      redact: text => redactAll(this.#censor, text),
      sinks: options.sinks ?? [],
      ...(options.spool && { store: options.spool }),
      ...(options.onTrouble && { onTrouble: options.onTrouble }),
    });
    const system = createSystemResolver({ servers: () => this.#policy.dns.servers, clock: this.#clock });
    this.#lookUp = options.lookUp ?? system.lookUp;
    this.#upstream = createUpstream({
      resolver: options.resolver ?? system,
      trust,
      clock: this.#clock,
      ...(options.dialler && { dialler: options.dialler }),
      ...(options.times && { times: options.times }),
    });
    this.bus.emit({ type: 'gateway.started', sandbox: null, gateway: { message: 'started', detail: [] } });
    this.#announce();
  }

  get policy(): Policy {
    return this.#policy;
  }

  /** What happened and happens, one by one (`EventBus.read`). However slow the reader is, the gateway never waits. */
  events(query?: EventQuery): AsyncIterable<Event> {
    return this.bus.read(query);
  }

  /** Lets the traffic of one sandbox in, by whatever door. */
  admit(id: SandboxId): Admitted {
    if (this.#open.has(id)) throw new GatewayError('CONFIG_INVALID', `there is a sandbox ${id} already`);
    const limits = createLimits(this.#policy.limits, this.#clock, { shares: this.#shares });
    const tenant = new Tenant(id, this.#store.forSandbox(id, this.#secrets.set), limits);
    this.#options.onPlaceholders?.(this.#store.owners(id));
    this.#open.set(id, tenant);
    const gate = (): Gate => tenant.gate(this.#policy, this.#secrets.unavailable);
    const told = tenant.annotate({ emit: this.bus.emit, redact: text => redactAll(this.#censor, text) });
    const emit: Emit = body => {
      told(body);
      const reason = stopReason(this.#policy, body);
      if (reason !== null) this.#stop(tenant, reason, told);
    };
    tenant.script = this.#scripts.forSandbox(id, null, emit, this.#clock);
    const context: ProxyContext = {
      sandbox: id,
      gate,
      emit,
      clock: this.#clock,
      ca: this.#options.ca,
      upstream: this.#upstream,
      get script() {
        return tenant.script?.hooks ?? null;
      },
      limits,
      standing: tenant.standing,
      recordBlocked: () => this.bus.blocked,
      nextRequestId: this.#nextRequestId,
      closing: tenant.closing,
    };
    const dns = this.#dnsRoom(tenant, emit, gate);
    return {
      id,
      dns,
      accept: flow => enterCorridor(flow, context, dns),
      environment: env => sandboxEnvironment(tenant.secrets, env),
      release: () => this.#release(id),
    };
  }

  #dnsRoom(tenant: Tenant, emit: Emit, gate: () => Gate): DnsRoom {
    return createDnsRoom({
      sandbox: tenant.id,
      approve: () => tenant.script?.hooks.onResolve ?? null,
      decide: question => decide(this.#policy, question),
      emit,
      clock: this.#clock,
      generation: () => this.#policy.generation,
      settings: () => this.#policy.dns,
      isPinned: name => this.#policy.addHosts.has(name),
      secretsIn: text => secretsIn(gate().secrets, text),
      lookUp: this.#lookUp,
      ipv6: true,
    });
  }

  /** Opens the door of a sandbox. Throws `TOOL_MISSING`, `NAMESPACE_DENIED` or `WARDEN_FAILED`. */
  async openDoor(id: SandboxId, link: Backend['link'] = 'cell'): Promise<Door> {
    const admitted = this.admit(id);
    try {
      const [vestibule, trust] = await Promise.all([
        this.#vestibule(admitted, link),
        trustFor(this.#options.ca.certPem),
      ]);
      const tenant = this.#open.get(id);
      tenant?.settle(
        vestibule,
        refusalsOf(admitted, this.bus.emit, () => this.#policy.generation),
      );
      return doorOf({
        id,
        vestibule,
        trust,
        caPem: this.#options.ca.certPem,
        environment: admitted.environment,
        stopped: () => tenant?.stopped ?? null,
        close: () => this.#closeSandbox(id),
      });
    } catch (error) {
      admitted.release();
      throw error;
    }
  }

  /** Opens a door for commands of this host. Throws as `openDoor`. */
  async openSandbox(id: SandboxId): Promise<Sandbox> {
    const door = await this.openDoor(id);
    return sandboxOf(door, spec => this.#run(id, door.vestibule, spec));
  }

  async #run(sandbox: SandboxId, { cell }: Vestibule, spec: CommandSpec): Promise<RunningCommand> {
    const started = this.#clock.monotonic();
    const running = await startCommand(cell, {
      ...spec,
      hide: [...spec.hide, ...secretFiles(this.#policy)],
      searchDomains: this.#policy.dns.searchDomains,
    });
    const tenant = this.#open.get(sandbox);
    tenant?.commands.add(running);
    // Stopped while it was being started: whoever ends the commands has not seen this one.
    if (tenant === undefined || tenant.stopped !== null) running.kill('SIGKILL');
    const exec = { command: spec.argv, exit_code: null, duration_ms: 0 };
    this.bus.emit({ type: 'exec.started', sandbox, exec });
    const exit = running.exit.then(ended => {
      tenant?.commands.delete(running);
      const duration_ms = Math.round(this.#clock.monotonic() - started);
      this.bus.emit({ type: 'exec.done', sandbox, exec: { ...exec, exit_code: ended.code, duration_ms } });
      return ended;
    });
    return { ...running, exit };
  }

  #vestibule({ id, dns, accept }: Admitted, link: Backend['link']): Promise<Vestibule> {
    return openVestibule({
      sandbox: id,
      ...(link === 'tap' && { tap: TAP_LEASE }),
      allowedPorts: portsOf(this.#policy),
      nameOf: address => dns.nameOf(address),
      onFlow: flow => void accept(flow),
      onDnsTcp: flow => void serveDnsTcp(flow.accept(), dns),
      onDnsUdp: socket => void serveDnsUdp(socket, dns),
    });
  }

  /** Replaces policy and secrets as one. A failure leaves the old ones, says so in an event, and throws. */
  async reload(layers: readonly PolicyDocument[]): Promise<void> {
    try {
      const policy = compileLayers(layers, this.#policy.generation + 1, this.#options.sinks);
      const values = await this.#secrets.load(policy.secrets);
      this.#scripts.use(await this.#scripts.load(policy.script));
      this.#policy = policy;
      this.#replaceSecrets(this.#secrets.use(values));
      for (const [id, tenant] of this.#open) {
        tenant.reloaded(policy);
        tenant.script = this.#scripts.forSandbox(id, tenant.script, this.bus.emit, this.#clock);
        await tenant.vestibule?.reloadPorts(portsOf(policy));
      }
      this.#announce();
    } catch (error) {
      const detail = error instanceof GatewayError ? [error.message] : [];
      this.bus.emit({
        type: 'policy.refused',
        sandbox: null,
        gateway: { message: 'the old policy stays', detail },
      });
      throw error;
    }
  }

  #replaceSecrets(set: SecretSet): void {
    this.#censor = this.#store.forSandbox(CENSOR, set);
    for (const [id, tenant] of this.#open) {
      tenant.secrets = this.#store.forSandbox(id, set);
      this.#options.onPlaceholders?.(this.#store.owners(id));
    }
  }

  #announce(): void {
    const { generation, warnings } = this.#policy;
    const message = `policy ${generation} is in force`;
    this.bus.emit({ type: 'policy.loaded', sandbox: null, gateway: { message, detail: warnings } });
  }

  #release(id: SandboxId): void {
    const tenant = this.#open.get(id);
    tenant?.closing.abort();
    this.#open.delete(id);
    this.#upstream.closeSandbox(id);
    this.#store.release(id);
    const ended = tenant?.endScript() ?? Promise.resolve();
    this.#leaving.add(ended);
    void ended.then(() => this.#leaving.delete(ended));
  }

  /** Ends the sandbox for what it did. The first reason is the one that is told. */
  #stop(tenant: Tenant, reason: string, emit: Emit): void {
    if (tenant.stopped !== null) return;
    tenant.stopped = reason;
    const { id } = tenant;
    emit({ type: 'sandbox.stopped', sandbox: id, gateway: { message: reason, detail: [] } });
    const ended = this.#closeSandbox(id);
    this.#leaving.add(ended);
    void ended.then(() => this.#leaving.delete(ended));
  }

  async #closeSandbox(id: SandboxId): Promise<void> {
    const tenant = this.#open.get(id);
    await tenant?.endCommands();
    await tenant?.noteRefusals();
    this.#release(id);
    await tenant?.vestibule?.close();
  }

  /** Closes every sandbox, then the evidence. */
  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map(id => this.#closeSandbox(id)));
    this.#upstream.close();
    this.#secrets.close();
    await Promise.all(this.#leaving);
    await this.#scripts.close();
    this.bus.emit({ type: 'gateway.closed', sandbox: null, gateway: { message: 'closed', detail: [] } });
    await this.bus.close(AbortSignal.timeout(EVENTS_CLOSE_MS));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const EVENTS_CLOSE_MS = 5_000;
