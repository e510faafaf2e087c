namespace KvStore.Node.Http;

/// <summary>
/// Memory for bodies of requests that have begun and not ended, over all connections of a node. What a client announces costs nothing: the
/// buffer grows with what has come. When there is no room for more, the body that began first ends: bodies that come come in moments, and
/// whoever sends slowly keeps the others from nothing. Any thread.
/// </summary>
internal sealed class BodyRoom(long limitBytes)
{
    /// <summary>Of a node with much memory.</summary>
    public const long MostBytes = 64L << 20;

    private readonly Lock _gate = new();
    private readonly LinkedList<Claim> _begun = [];
    private long _held;

    public long HeldBytes => Volatile.Read(ref _held);

    public Claim Begin()
    {
        var claim = new Claim(this);
        lock (_gate)
        {
            claim.Node = _begun.AddLast(claim);
        }

        return claim;
    }

    private void Hold(Claim claim, int bytes)
    {
        List<Claim>? ended = null;
        lock (_gate)
        {
            _held += bytes - claim.Bytes;
            claim.Bytes = bytes;
            while (_held > limitBytes && _begun.First is { } first && (_begun.Count > 1 || bytes > limitBytes))
            {
                Remove(first.Value);
                (ended ??= []).Add(first.Value);
            }
        }

        ended?.ForEach(one => one.AskToEnd());
    }

    private void End(Claim claim)
    {
        lock (_gate)
        {
            if (claim.Node is not null)
            {
                Remove(claim);
            }
        }
    }

    private void Remove(Claim claim)
    {
        _begun.Remove(claim.Node!);
        claim.Node = null;
        _held -= claim.Bytes;
        claim.Bytes = 0;
    }

    /// <summary>One body's part of the room.</summary>
    public sealed class Claim(BodyRoom room) : IDisposable
    {
        private readonly CancellationTokenSource _end = new();

        /// <summary>Cancelled when others need its part.</summary>
        public CancellationToken Ended => _end.Token;

        internal LinkedListNode<Claim>? Node { get; set; }

        internal int Bytes { get; set; }

        /// <summary>It holds so much now. May end it.</summary>
        public void Hold(int bytes) => room.Hold(this, bytes);

        public void Dispose()
        {
            room.End(this);
            _end.Dispose();
        }

        internal void AskToEnd()
        {
            try
            {
                _end.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // it has ended by itself meanwhile
            }
        }
    }
}
