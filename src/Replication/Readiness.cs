namespace KvStore.Replication;

/// <summary>Why a node should not be sent requests now.</summary>
public enum NotReady : byte
{
    /// <summary>It should be.</summary>
    None,

    /// <summary>It is about to stop.</summary>
    Draining,

    /// <summary>Groups here know no leader.</summary>
    NoLeader,

    /// <summary>Groups here lack entries that were committed before this process started, or nobody has proved yet that they do not.</summary>
    CatchingUp,

    /// <summary>Its disk does not finish writes in time.</summary>
    DiskSick,
}

/// <summary>Whether a node should be sent requests: a word for programs and, when it should not, a sentence for people.</summary>
public readonly record struct Readiness(NotReady Reason, string Detail)
{
    public bool IsReady => Reason == NotReady.None;
}
