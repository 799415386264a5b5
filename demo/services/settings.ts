/** What a stand-in of a Vitam service is told when it starts: a JSON file beside its unit. */
export interface ServiceSettings {
  readonly name: string;
  /** Its status page. */
  readonly port: number;
  /** Its folder under servicectl: `instance` in it says how often it was started. */
  readonly unitFolder: string;
  /** Where it writes down what was acknowledged. */
  readonly acknowledged: string;
  /** Absent: it writes no documents. */
  readonly documents?: DocumentSettings;
  /** The file tree that it writes. */
  readonly tree?: string;
  readonly workflows?: WorkflowSettings;
}

export interface DocumentSettings {
  readonly uri: string;
  readonly database: string;
  readonly collection: string;
}

export interface WorkflowSettings {
  /** A file for each that is under way. */
  readonly folder: string;
  /** While it answers, a new workflow begins for each that ends. */
  readonly ingest: string;
}
