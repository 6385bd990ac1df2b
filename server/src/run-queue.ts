import { finish, IDLE, request, type Schedule, start } from "@tamp/core";
import { TampError } from "./errors.ts";

/** Work that must be alone: one runs, one more may wait. */
export interface RunQueue {
  readonly running: boolean;
  /** Rejects with `RunInProgress` where one waits already. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
}

export interface RunQueueOptions {
  readonly root: string;
  /** Monotonic milliseconds: a wall clock that is set back would hold up what waits. */
  readonly clock: () => number;
  /** After each work, before it is answered and while it counts as running; what it throws is passed over. */
  readonly onDone: () => Promise<void>;
  /** When it counts no more, and what waited has begun. */
  readonly onNext: () => void;
}

/** Never rejects. */
type Job = () => Promise<void>;

export function createRunQueue({ root, clock, onDone, onNext }: RunQueueOptions): RunQueue {
  let schedule: Schedule<Job> = IDLE;
  const startNext = (): void => {
    const { next, started } = start(schedule, clock());
    schedule = next;
    started?.().then(end, end);
  };
  const end = (): void => {
    schedule = finish(schedule, clock());
    startNext();
    onNext();
  };
  return {
    get running() {
      return schedule.running !== null;
    },
    exclusively(work) {
      return new Promise((resolve, reject) => {
        if (schedule.pending !== null) throw refusal(root);
        // Where it throws at once, that is a failure like any other.
        const begin = async (): ReturnType<typeof work> => work();
        const job: Job = async () => {
          const answer = await begin().then(
            (value) => () => resolve(value),
            (error: unknown) => () => reject(error),
          );
          await onDone().catch(() => {});
          answer();
        };
        schedule = request(schedule, job, clock());
        startNext();
      });
    },
  };
}

function refusal(root: string): TampError {
  return new TampError("RunInProgress", `${root} has a run under way and another one waiting`, {
    hint: "wait until the first has finished",
  });
}
