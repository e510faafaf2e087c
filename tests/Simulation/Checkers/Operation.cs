namespace KvStore.Simulation;

/// <summary>What a client did to one key.</summary>
public enum OperationKind
{
    Get,
    Put,

    /// <summary>Put that succeeds only when the key is absent.</summary>
    Create,
    Delete,
    Increment,
}

public enum OperationOutcome
{
    Ok,

    /// <summary>A create that found the key.</summary>
    ConditionFailed,

    /// <summary>May or may not have taken effect, now or later.</summary>
    Unknown,
}

/// <summary>
/// One operation of a history. Times come from one clock; Return is long.MaxValue when the outcome is unknown. Value is what
/// was written, added or read; null reads as absent. Operations that certainly never took effect are not part of a history.
/// </summary>
public sealed record Operation(
    int Client, OperationKind Kind, string Key, long? Value, long Call, long Return, OperationOutcome Outcome, long? Result = null);
