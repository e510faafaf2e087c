namespace KvStore.Replication;

/// <summary>Written by the loop only; others read whatever value is there.</summary>
internal sealed class LoopCounters
{
    public long Requests;
    public long Forwards;
    public long Proposals;
    public long EntriesApplied;
    public long CommandsApplied;
    public long ReadRounds;
    public long StrongReads;

    /// <summary>Bounded and session reads that could not be served at once.</summary>
    public long UnmetReads;
    public long Elections;
    public long Overloaded;
    public long StrayMessages;

    /// <summary>Messages whose term was too far above everything known here.</summary>
    public long RefusedTerms;

    /// <summary>Charged bytes of the live log entries of all groups; not a total but the sum at the last tick.</summary>
    public long LiveLogBytes;

    /// <summary>Memory of idempotency records and floors of all groups, and of the leaves of their tables and of tables being built; as at the last tick.</summary>
    public long RecordBytes;
    public long IndexBytes;

    /// <summary>Writes refused because this node or another member of the group is short of room.</summary>
    public long GrowthRefused;

    /// <summary>Snapshots of its own groups, written.</summary>
    public long SnapshotsTaken;

    /// <summary>Snapshots fetched from other nodes, and installed.</summary>
    public long SnapshotsInstalled;

    /// <summary>Writes answered from the record of their first copy.</summary>
    public long Duplicates;

    /// <summary>Requests whose entry another leader's entry replaced.</summary>
    public long Superseded;
}
