namespace KvStore.Replication;

/// <summary>Something a shard loop must look at. Linked into its inbox; each object is posted at most once.</summary>
internal abstract class InboxItem
{
    internal InboxItem? Next;
}

/// <summary>
/// A loop's inbox: many threads post, one loop takes everything at once. A linked stack that the loop empties by one exchange
/// and reverses, so posting is one compare-and-swap and there is no lock. It has no bound of its own: what is posted is
/// bounded where it enters (requests by <see cref="StoreNodeOptions.MaxInFlightRequests"/>, peer payloads by
/// <see cref="StoreNodeOptions.MaxPeerInboxBytes"/>, completions by what was submitted).
/// </summary>
internal sealed class Inbox
{
    private InboxItem? _newest;

    public bool IsEmpty => Volatile.Read(ref _newest) is null;

    /// <summary>True when the inbox was empty: the loop may be asleep and must be woken.</summary>
    public bool Post(InboxItem item)
    {
        InboxItem? seen = Volatile.Read(ref _newest);
        while (true)
        {
            item.Next = seen;
            InboxItem? previous = Interlocked.CompareExchange(ref _newest, item, seen);
            if (ReferenceEquals(previous, seen))
            {
                return seen is null;
            }

            seen = previous;
        }
    }

    /// <summary>Everything posted so far, oldest first, as a list linked by Next.</summary>
    public InboxItem? TakeAll()
    {
        InboxItem? item = Interlocked.Exchange(ref _newest, null);
        InboxItem? oldestFirst = null;
        while (item is not null)
        {
            InboxItem? next = item.Next;
            item.Next = oldestFirst;
            oldestFirst = item;
            item = next;
        }

        return oldestFirst;
    }
}
