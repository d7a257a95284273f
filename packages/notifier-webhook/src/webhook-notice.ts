import type { Notice } from "@davpool/core";

/** What a receiver gets: the notice, and what it stands for besides itself. */
export interface WebhookNotice extends Notice {
  /** How many equal failovers this notice stands for; the fields are those of the last one. Absent for a single one. */
  readonly count?: number;
  /** How many notices before this one never arrived: too many waited, or deliveries failed. Absent for none. */
  readonly missed?: number;
}
