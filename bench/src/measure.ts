/** One way of making the same request. */
export interface Subject {
  readonly name: string;
  /** Makes one request and reads its whole body; resolves to the bytes read. */
  run(): Promise<number>;
  /** Microseconds of processor time used so far, where it is not this process's that counts. */
  readonly processorTime?: () => number;
}

export interface Sample {
  /** Requests per second. */
  readonly rate: number;
  /** Microseconds of processor time per request: this process's, unless the subject says otherwise. */
  readonly cpu: number;
}

/** Keeps `concurrency` requests under way for `seconds`. @throws when a request fails or reads another size. */
export async function measure(subject: Subject, concurrency: number, seconds: number, size: number): Promise<Sample> {
  let requests = 0;
  const { processorTime = ownTime } = subject;
  const cpu = processorTime();
  const start = performance.now();
  const end = start + seconds * 1_000;
  const worker = async () => {
    while (performance.now() < end) {
      const bytes = await subject.run();
      if (bytes !== size) throw new Error(`${subject.name} read ${bytes} bytes instead of ${size}`);
      requests++;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const elapsed = (performance.now() - start) / 1_000;
  return { rate: requests / elapsed, cpu: (processorTime() - cpu) / requests };
}

function ownTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

export interface Comparison {
  readonly peer: string;
  readonly subject: string;
  readonly peerSamples: readonly Sample[];
  readonly subjectSamples: readonly Sample[];
}

/** Measures two subjects in turn, so that a machine that grows slower does so for both. */
export async function interleaved(
  peer: Subject,
  subject: Subject,
  options: {
    readonly concurrency: number;
    readonly seconds: number;
    readonly pairs: number;
    readonly size: number;
    /** Heeded between two measurements. */
    readonly signal: AbortSignal;
    readonly progress: (text: string) => void;
  },
): Promise<Comparison> {
  const { concurrency, seconds, pairs, size, signal, progress } = options;
  const samples: [Sample[], Sample[]] = [[], []];
  for (const one of [peer, subject]) await measure(one, concurrency, seconds, size);
  for (let pair = 1; pair <= pairs; pair++) {
    signal.throwIfAborted();
    progress(`${subject.name} against ${peer.name}: pair ${pair} of ${pairs}`);
    // Whoever goes first changes from pair to pair.
    const order = pair % 2 === 0 ? [0, 1] : [1, 0];
    for (const index of order as (0 | 1)[])
      samples[index].push(await measure(index === 0 ? peer : subject, concurrency, seconds, size));
  }
  return { peer: peer.name, subject: subject.name, peerSamples: samples[0], subjectSamples: samples[1] };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

/** The median of a figure, over all samples. */
export function middle(samples: readonly Sample[], of: keyof Sample): number {
  return median(samples.map((sample) => sample[of]));
}

/** The median of the subject's figure as a share of the peer's, pair by pair. */
export function ratio({ subjectSamples, peerSamples }: Comparison, of: keyof Sample): number {
  return median(subjectSamples.map((sample, pair) => sample[of] / (peerSamples[pair]?.[of] ?? NaN)));
}
