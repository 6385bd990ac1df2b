import { isAbsolute, join } from "node:path";

/** What a user has set for every dataset of this machine. */
export interface UserSettings {
  /** `$XDG_CONFIG_HOME/tamp`: the user's own policy, and which files are trusted; null where there is no home. */
  readonly configFolder: string | null;
  readonly home: string | null;
  /** Variables of the environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export function createUserSettings(
  environment: Readonly<Record<string, string | undefined>>,
  home: string | null,
): UserSettings {
  const { XDG_CONFIG_HOME: given = "" } = environment;
  const base = isAbsolute(given) ? given : home === null ? null : join(home, ".config");
  return { configFolder: base === null ? null : join(base, "tamp"), home, environment };
}
