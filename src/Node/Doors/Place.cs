namespace KvStore.Node.Doors;

/// <summary>
/// The place of one connection at a port. It says what the node owes the connection: that decides who has to go when somebody else needs
/// a place. Any thread.
/// </summary>
internal sealed class Place : IDisposable
{
    private readonly Places _places;
    private readonly CancellationTokenSource _end = new();
    private long _waitingSinceMs;
    private int _owed;

    internal Place(Places places, AddressKey from, bool isBeyond)
    {
        (_places, From, IsBeyond) = (places, from, isBeyond);
        _waitingSinceMs = places.NowMs;
        Ended = _end.Token;
    }

    public AddressKey From { get; }

    /// <summary>There was no place: it is told so, and answered about the node's health at most. Set by the places.</summary>
    public bool IsBeyond { get; internal set; }

    /// <summary>Cancelled when somebody else needs the place, or nothing was asked for too long: the connection is to be closed.</summary>
    public CancellationToken Ended { get; }

    /// <summary>It has neither greeted nor asked. Guarded by the places.</summary>
    internal bool IsStranger { get; set; } = true;

    /// <summary>Where it stands in the lists of the places. Guarded by them.</summary>
    internal LinkedListNode<Place>? Node { get; set; }

    /// <summary>Milliseconds for which the node has owed it nothing; -1: it does owe something.</summary>
    internal long IdleMs => Volatile.Read(ref _owed) > 0 ? -1 : _places.NowMs - Volatile.Read(ref _waitingSinceMs);

    /// <summary>It has said who it is.</summary>
    public void Greeted() => _places.Know(this);

    /// <summary>It is a node's, which needs none of the clients' places. False: it has as many as a node may.</summary>
    public bool TryReserve(string node) => _places.TryReserve(this, node);

    /// <summary>It gives a sign of life, and asks nothing.</summary>
    public void Heard() => Volatile.Write(ref _waitingSinceMs, _places.NowMs);

    /// <summary>A request has come whole: the node owes an answer.</summary>
    public void Begin()
    {
        Interlocked.Increment(ref _owed);
        if (IsStranger)
        {
            Greeted();
        }
    }

    /// <summary>The answer is made.</summary>
    public void End()
    {
        Heard();
        Interlocked.Decrement(ref _owed);
    }

    /// <summary>The connection has ended.</summary>
    public void Dispose()
    {
        _places.Leave(this);
        _end.Dispose();
    }

    // Not under the lock of the places: whoever listens may take it.
    internal void AskToGo()
    {
        try
        {
            _end.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // it has left by itself meanwhile
        }
    }
}
