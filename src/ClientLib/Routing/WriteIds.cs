using System.Security.Cryptography;
using KvStore.Protocol;

namespace KvStore.Client.Routing;

/// <summary>
/// Ids of writes. Each is one of a series: a client id and a number that counts up. The store forgets what lies below the lowest number
/// that is still open, so a number whose fate nobody knows keeps its series' floor where it is, and later writes begin a new series: the
/// unknown one can be asked about for as long as the store remembers anything.
/// </summary>
internal sealed class WriteIds(TimeProvider time)
{
    /// <summary>Numbers between the lowest open one and the next; beyond it a new series begins, for one write that never ends holds the floor.</summary>
    private const int MaxSpan = 1 << 16;

    private readonly Lock _gate = new();
    private Series _current = new();

    /// <summary>The id of a write that begins now. Every one is given back by <see cref="Ended"/>.</summary>
    public WriteId Begin()
    {
        ulong now = (ulong)time.GetUtcNow().ToUnixTimeMilliseconds();
        lock (_gate)
        {
            if (_current.Span >= MaxSpan)
            {
                _current = new Series();
            }

            ulong sequence = _current.Next();
            return new WriteId(_current, new RequestId(_current.Client, sequence, now, _current.Lowest));
        }
    }

    /// <summary>Known: its result has come, or nobody will ask for it. Otherwise it stays open, and its series takes no more writes.</summary>
    public void Ended(WriteId id, bool known)
    {
        lock (_gate)
        {
            if (known)
            {
                id.Series.Close(id.Id.Sequence);
            }
            else if (ReferenceEquals(_current, id.Series))
            {
                _current = new Series();
            }
        }
    }

    internal readonly record struct WriteId(Series Series, RequestId Id);

    internal sealed class Series
    {
        // Invariant: the head of the queue is number Lowest; true means closed; the head is never closed.
        private readonly List<bool> _closed = [];
        private int _head;

        public UInt128 Client { get; } = RandomId();

        public ulong Lowest { get; private set; } = 1;

        public int Span => _closed.Count - _head;

        public ulong Next()
        {
            _closed.Add(false);
            return Lowest + (ulong)Span - 1;
        }

        public void Close(ulong sequence)
        {
            _closed[_head + (int)(sequence - Lowest)] = true;
            while (_head < _closed.Count && _closed[_head])
            {
                _head++;
                Lowest++;
            }

            if (_head > 1024 && _head * 2 > _closed.Count)
            {
                _closed.RemoveRange(0, _head);
                _head = 0;
            }
        }

        // A client id names this process to every other one, so it may not be guessed or drawn twice.
        private static UInt128 RandomId()
        {
            Span<byte> bytes = stackalloc byte[16];
            RandomNumberGenerator.Fill(bytes);
            return new UInt128(BitConverter.ToUInt64(bytes), BitConverter.ToUInt64(bytes[8..]));
        }
    }
}
