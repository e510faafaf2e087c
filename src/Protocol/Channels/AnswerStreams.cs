using System.Diagnostics.CodeAnalysis;

namespace KvStore.Protocol;

/// <summary>One answer in parts. Its fields are the connection's, guarded by its lock.</summary>
internal sealed class AnswerStream(AnswerStreams owner, ulong id, ItemSource source, bool isFlat)
{
    public ulong Id => id;

    public ItemSource Source => source;

    /// <summary>Its request came in the form of feature level 1, and so must the reply that ends it.</summary>
    public bool IsFlat => isFlat;

    /// <summary>Bytes the client still takes. The item that uses it up may pass it, so it can be below zero.</summary>
    public long Credit { get; set; }

    public long Items { get; set; }

    /// <summary>The source has nothing now.</summary>
    public bool IsWaiting { get; set; }

    /// <summary>The source has called since it was last asked.</summary>
    public bool WasCalled { get; set; }

    /// <summary>When an item last left, or the source last had something again.</summary>
    public long MovedAt { get; set; }

    /// <summary>Set: no more items, this ends the answer.</summary>
    public KvReply? Last { get; set; }

    public void OnReady() => owner.OnReady(this);
}

/// <summary>
/// The answers in parts of one connection. One loop asks their sources in turn, one item each, as long as there is credit and the
/// transport keeps up; every call to a source is made by that loop. An item goes from its source straight into a frame that leaves:
/// there is no queue of items.
/// </summary>
internal sealed class AnswerStreams
{
    private readonly RequestServers _servers;
    private readonly RequestServerOptions _options;
    private readonly Lock _gate;
    private readonly OutboundFrames _outbound;
    private readonly Action<ulong, KvReply, bool> _reply;
    private readonly Signal _wake = new();

    // The loop's alone: the frame in the making.
    private readonly FrameWriter _item = new();

    // Under the lock, all of it. The list is the order in which they are asked.
    private readonly Dictionary<ulong, AnswerStream> _byId = [];
    private readonly List<AnswerStream> _order = [];
    private int _turn;
    private long _collectedBytes;
    private long _writingBytes;
    private KvReply? _refusal;
    private ITimer? _clock;
    private bool _over;

    // reply is called under the lock: the answer to this request ends with this reply, in the form of feature level 1 or of today.
    public AnswerStreams(
        RequestServers servers, RequestServerOptions options, Lock gate, OutboundFrames outbound, Action<ulong, KvReply, bool> reply)
    {
        _servers = servers;
        _options = options;
        _gate = gate;
        _outbound = outbound;
        _reply = reply;
    }

    /// <summary>Under the lock.</summary>
    public int Count => _byId.Count;

    /// <summary>Under the lock. False: refused, the request has been answered; the source is the caller's to close.</summary>
    public bool TryOpen(ulong id, ItemSource source, long credit, bool isFlat)
    {
        if (_over)
        {
            return false;
        }

        var refusal = _refusal ?? (_byId.Count >= _options.MaxStreams ? TooMany(_options.MaxStreams) : null);
        if (refusal is not null)
        {
            _reply(id, refusal, isFlat);
            return false;
        }

        var stream = new AnswerStream(this, id, source, isFlat) { Credit = credit, MovedAt = _servers.Time.GetTimestamp() };
        source.Attach(stream);
        _byId.Add(id, stream);
        _order.Add(stream);
        _servers.CountStreams(1);
        if (_byId.Count == 1)
        {
            var period = TimeSpan.FromMilliseconds(_options.ClockMs);
            _clock ??= _servers.Time.CreateTimer(
                static state => ((AnswerStreams)state!).OnClock(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _clock.Change(period, period);
        }

        _wake.Set();
        return true;
    }

    /// <summary>Under the lock.</summary>
    public bool Has(ulong id) => _byId.ContainsKey(id);

    /// <summary>Under the lock. False: more than there can be. Credit for an answer that has ended meanwhile is nothing.</summary>
    public bool TryAddCredit(ulong id, long bytes)
    {
        if (_byId.TryGetValue(id, out var stream))
        {
            if (stream.Credit + bytes > Limits.MaxStreamCreditBytes)
            {
                return false;
            }

            stream.Credit += bytes;
            _wake.Set();
        }

        return true;
    }

    /// <summary>Under the lock.</summary>
    public void Cancel(ulong id)
    {
        if (_byId.TryGetValue(id, out var stream))
        {
            stream.Last ??= RequestServer.Cancelled;
            _wake.Set();
        }
    }

    /// <summary>Under the lock: all end with this reply, and so does whatever would begin.</summary>
    public void EndAll(KvReply reply)
    {
        _refusal ??= reply;
        foreach (var stream in _order)
        {
            stream.Last ??= reply;
        }

        _wake.Set();
    }

    public void OnReady(AnswerStream stream)
    {
        lock (_gate)
        {
            stream.WasCalled = true;
            if (stream.IsWaiting)
            {
                stream.IsWaiting = false;
                stream.MovedAt = _servers.Time.GetTimestamp();
            }
        }

        _wake.Set();
    }

    /// <summary>Under the lock: what was collected is on its way to the transport.</summary>
    public void OnHandingOver()
    {
        _writingBytes += _collectedBytes;
        _collectedBytes = 0;
    }

    /// <summary>The transport has taken it.</summary>
    public void OnWritten()
    {
        lock (_gate)
        {
            _servers.CountItemBytes(-_writingBytes);
            _writingBytes = 0;
        }

        _wake.Set();
    }

    /// <summary>Until <see cref="End"/>; then every source is closed. Throws what a source throws.</summary>
    public async Task RunAsync()
    {
        try
        {
            while (await _wake.WaitAsync().ConfigureAwait(false))
            {
                while (TryTake(out var stream))
                {
                    Serve(stream);
                }
            }
        }
        finally
        {
            CloseAll();
        }
    }

    /// <summary>The connection is over.</summary>
    public void End() => _wake.End();

    /// <summary>When all loops have ended.</summary>
    public void ForgetBytes()
    {
        lock (_gate)
        {
            _servers.CountItemBytes(-(_collectedBytes + _writingBytes));
            _collectedBytes = 0;
            _writingBytes = 0;
        }
    }

    private static KvReply StoppedTaking { get; } = new()
    {
        Code = ErrorCode.Timeout,
        Detail = "the client took nothing of this answer for too long; begin again where it ended",
    };

    private static KvReply TooMany(int limit) => new()
    {
        Code = ErrorCode.Overloaded,
        Outcome = Outcome.NotApplied,
        Detail = $"this connection has {limit} answers in parts open, which is the limit; end one, or use another connection",
    };

    private static KvReply ItemTooLarge(int limit) => new()
    {
        Code = ErrorCode.Internal,
        Outcome = Outcome.Unknown,
        Detail = $"an item of the answer is above the frame limit of {limit} bytes",
    };

    private bool HasRoom => _collectedBytes + _writingBytes < _options.MaxStreamBytes && _outbound.WaitingBytes < _options.MaxWaitingBytes;

    private bool TryTake([NotNullWhen(true)] out AnswerStream? taken)
    {
        lock (_gate)
        {
            bool room = HasRoom;
            for (int i = 0; i < _order.Count; i++)
            {
                int at = (_turn + i) % _order.Count;
                var stream = _order[at];
                if (stream.Last is not null || (room && stream.Credit > 0 && !stream.IsWaiting))
                {
                    _turn = at + 1;
                    stream.WasCalled = false;
                    taken = stream;
                    return true;
                }
            }
        }

        taken = null;
        return false;
    }

    private void Serve(AnswerStream stream)
    {
        if (stream.Last is { } last)
        {
            Finish(stream, last);
            return;
        }

        _item.Begin(FrameKind.Item, FrameFlags.None, stream.Id);
        switch (stream.Source.Next(_item))
        {
            case ItemStep.Item when _item.TryEnd(_options.MaxFrameBytes):
                Collect(stream);
                break;
            case ItemStep.Item:
                Finish(stream, ItemTooLarge(_options.MaxFrameBytes));
                break;
            case ItemStep.End:
                Finish(stream, stream.Source.Reply);
                break;
            default:
                Wait(stream);
                break;
        }

        _item.Clear();
    }

    private void Collect(AnswerStream stream)
    {
        int bytes = _item.WrittenBytes;
        lock (_gate)
        {
            // Cancelled while the item was made: nobody waits for it.
            if (_over || stream.Last is not null)
            {
                return;
            }

            _outbound.Collecting.Append(_item.Written.Span);
            _collectedBytes += bytes;
            _servers.CountItemBytes(bytes);
            stream.Credit -= bytes;
            stream.Items++;
            stream.MovedAt = _servers.Time.GetTimestamp();
        }

        _outbound.Wake();
    }

    private void Wait(AnswerStream stream)
    {
        lock (_gate)
        {
            // A call that came while it was being asked must not be lost.
            stream.IsWaiting = !stream.WasCalled;
        }
    }

    // Closed before the end is told: who reads the end may count on nothing being held for it.
    private void Finish(AnswerStream stream, KvReply last)
    {
        stream.Source.Close();
        _servers.CountStreams(-1);
        lock (_gate)
        {
            _byId.Remove(stream.Id);
            int at = _order.IndexOf(stream);
            _order.RemoveAt(at);
            _turn -= at < _turn ? 1 : 0;
            if (_byId.Count == 0)
            {
                _item.Release();
                _clock?.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }

            if (!_over)
            {
                _reply(stream.Id, last, stream.IsFlat);
            }
        }
    }

    private void OnClock()
    {
        lock (_gate)
        {
            var time = _servers.Time;
            long now = time.GetTimestamp();
            foreach (var stream in _order)
            {
                if (!stream.IsWaiting && time.GetElapsedTime(stream.MovedAt, now).TotalMilliseconds >= _options.StreamStallMs)
                {
                    stream.Last ??= StoppedTaking;
                }
            }
        }

        _wake.Set();
    }

    private void CloseAll()
    {
        AnswerStream[] left;
        lock (_gate)
        {
            _over = true;
            left = [.. _order];
            _clock?.Dispose();
        }

        foreach (var stream in left)
        {
            Finish(stream, RequestServer.Cancelled);
        }

        _item.Release();
    }
}
