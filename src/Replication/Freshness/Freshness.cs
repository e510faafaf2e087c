namespace KvStore.Replication;

/// <summary>A quorum confirmed that what is committed up to Commit covers every write acknowledged anywhere before AtTicks.</summary>
/// <param name="Commit">Index in the group's log.</param>
/// <param name="AtTicks">On this node's elapsed clock, raw ticks.</param>
internal sealed record Confirmation(ulong Commit, long AtTicks);

/// <summary>
/// How fresh one replica's applied state is, by its own clock alone. A confirmation arrives when a round of the leader is
/// confirmed, and counts once this replica has applied as much: <see cref="AsOfTicks"/> is a moment such that every write
/// acknowledged anywhere before it is in the table. Written by the replica's loop; any thread reads, and must read AsOfTicks
/// before it reads the table, and the clock after that: the loop publishes the table first.
/// <para>
/// A confirmation stays true for ever, whatever becomes of the leader it came from; so nothing here looks at terms.
/// </para>
/// </summary>
internal sealed class Freshness
{
    public const long Unknown = long.MinValue;

    /// <summary>
    /// Confirmations that wait for their index. A replica that kept only the newest would never become fresher while it is
    /// further behind than the interval between them; so when full, the old ones stay and the new one is left out.
    /// </summary>
    public const int MaxPending = 16;

    private readonly Queue<Confirmation> _pending = new(MaxPending);
    private long _asOfTicks = Unknown;
    private Confirmation? _newest;

    /// <summary>Unknown until the first confirmation of this process counts.</summary>
    public long AsOfTicks => Volatile.Read(ref _asOfTicks);

    /// <summary>The newest there is, applied or not: it tells by how many entries the table is behind.</summary>
    public Confirmation? Newest => Volatile.Read(ref _newest);

    public void Add(Confirmation confirmation, ulong applied)
    {
        if (_newest is null || confirmation.AtTicks > _newest.AtTicks)
        {
            Volatile.Write(ref _newest, confirmation);
        }

        if (confirmation.Commit <= applied)
        {
            Advance(confirmation);
        }
        else if (_pending.Count < MaxPending)
        {
            _pending.Enqueue(confirmation);
        }
    }

    /// <summary>The table has been published up to this index.</summary>
    public void OnApplied(ulong applied)
    {
        while (_pending.TryPeek(out Confirmation? confirmation) && confirmation.Commit <= applied)
        {
            Advance(_pending.Dequeue());
        }
    }

    private void Advance(Confirmation confirmation)
    {
        if (confirmation.AtTicks > _asOfTicks)
        {
            Volatile.Write(ref _asOfTicks, confirmation.AtTicks);
        }
    }
}
