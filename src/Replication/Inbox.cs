namespace KvStore.Replication;

/// <summary>Something that whoever takes from an inbox must look at. Linked into it; each object is posted at most once.</summary>
/// <typeparam name="T">The base of all that this kind of inbox takes.</typeparam>
internal abstract class InboxItem<T>
    where T : InboxItem<T>
{
    internal T? Next;
}

/// <summary>
/// What a loop or the snapshot thread has been given to do: many threads post, one takes everything at once. A linked stack that the taker
/// empties by one exchange and reverses, so posting is one compare-and-swap and there is no lock. It has no bound of its own: what is posted is
/// bounded where it enters (requests by <see cref="StoreNodeOptions.MaxInFlightRequests"/>, peer payloads by
/// <see cref="StoreNodeOptions.MaxPeerInboxBytes"/>, completions by what was submitted).
/// </summary>
internal sealed class Inbox<T>
    where T : InboxItem<T>
{
    private T? _newest;

    /// <summary>Called (any thread) when something arrives while the taker may be asleep.</summary>
    public Action? Wake { get; set; }

    public bool IsEmpty => Volatile.Read(ref _newest) is null;

    /// <summary>Wakes the taker when the inbox was empty: it may be asleep. Any thread.</summary>
    public void Post(T item)
    {
        T? seen = Volatile.Read(ref _newest);
        while (true)
        {
            item.Next = seen;
            T? previous = Interlocked.CompareExchange(ref _newest, item, seen);
            if (ReferenceEquals(previous, seen))
            {
                break;
            }

            seen = previous;
        }

        if (seen is null)
        {
            Wake?.Invoke();
        }
    }

    /// <summary>Everything posted so far, oldest first, as a list linked by Next.</summary>
    public T? TakeAll()
    {
        T? item = Interlocked.Exchange(ref _newest, null);
        T? oldestFirst = null;
        while (item is not null)
        {
            T? next = item.Next;
            item.Next = oldestFirst;
            oldestFirst = item;
            item = next;
        }

        return oldestFirst;
    }
}
