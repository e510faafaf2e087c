namespace KvStore.Raft;

public enum ProposeOutcome : byte
{
    Accepted,
    NotLeader,

    /// <summary>Uncommitted bytes are at their limit.</summary>
    Overloaded,

    /// <summary>Leadership is being handed over.</summary>
    Transferring,

    /// <summary>A configuration change is still unapplied, or the change is not valid now.</summary>
    ConfChangeRefused,
}

/// <summary>Outcome of a proposal; Index and Clock are set when it was accepted.</summary>
public readonly record struct ProposeResult(ProposeOutcome Outcome, ulong Index = 0, ulong Clock = 0);
