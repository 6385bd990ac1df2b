import { dueRuns, type Policy } from "@tamp/core";
import { TampError } from "./errors.ts";
import { maintain, type Ports } from "./maintain.ts";
import type { RecoveredGroup } from "./recover.ts";
import { learnedRatio, listRuns, type RunFacts } from "./runs.ts";
import { locateWorkspace } from "./workspace.ts";

interface Place {
  readonly root: string;
  readonly workspace: string | null;
}

/** What earlier runs of a dataset tell: how files shrink, what is kept for undo, what was interrupted. */
export class PastRuns {
  private readonly ports: Ports;
  private facts: readonly RunFacts[] = [];
  /** What recovery did last. */
  recovered: readonly RecoveredGroup[] = [];

  constructor(ports: Ports) {
    this.ports = ports;
  }

  /** Reads the journals. A workspace that cannot be used tells nothing; a run will say why. */
  async learn({ root, workspace }: Place): Promise<void> {
    const { ports } = this;
    try {
      this.facts = await listRuns(ports, await locateWorkspace(ports.fs, root, workspace));
    } catch (error) {
      if (!(error instanceof TampError)) throw error;
    }
  }

  /** Newest first. */
  list(): readonly RunFacts[] {
    return this.facts;
  }

  get interruptedGroups(): number {
    return this.facts.reduce((sum, run) => sum + run.interruptedGroups, 0);
  }

  /** Output bytes per input byte; null before the first run. */
  get learnedRatio(): number | null {
    return learnedRatio(this.facts);
  }

  /** Finishes or undoes what was interrupted. False where somebody else is at work on the dataset: that one will. */
  async recover({ root, workspace }: Place): Promise<boolean> {
    try {
      this.recovered = await maintain({ ports: this.ports, root, workspace }, async (held) => held.recovered);
      return true;
    } catch (error) {
      if (!(error instanceof TampError)) throw error;
      return false;
    }
  }

  /** Originals of earlier runs that a run of this policy deletes before it begins. */
  dueBytes({ retentionMs, maxRetainedBytes }: Policy, incomingBytes: number): number {
    const runs = this.facts
      .filter((run) => run.retainedBytes > 0)
      .map(({ runId, retainedBytes, stateSince }) => ({
        runId,
        retainedBytes,
        sinceMs: Date.parse(stateSince),
      }))
      .reverse();
    const retention = { retentionMs, maxRetainedBytes };
    const due = dueRuns({ runs, retention, nowMs: this.ports.now(), incomingBytes, keepNewest: true });
    return due.reduce((sum, run) => sum + run.retainedBytes, 0);
  }
}
