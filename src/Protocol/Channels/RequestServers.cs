namespace KvStore.Protocol;

/// <summary>What the connections of one node share: a word to all of them, the memory for unfinished frames, and counts.</summary>
public sealed class RequestServers
{
    private readonly Lock _gate = new();
    private readonly HashSet<RequestServer> _open = [];
    private GoAway? _word;
    private long _openStreams;
    private long _heldItemBytes;

    /// <param name="unfinishedFrameBytes">Budget for frames that have begun and not ended; see <see cref="FrameBudget"/>.</param>
    /// <param name="time">For limits on how long a frame or a client may take; the system's when null.</param>
    public RequestServers(long unfinishedFrameBytes = FrameBudget.DefaultBytes, TimeProvider? time = null)
    {
        Frames = new FrameBudget(unfinishedFrameBytes);
        Time = time ?? TimeProvider.System;
    }

    public FrameBudget Frames { get; }

    public TimeProvider Time { get; }

    /// <summary>Answers in parts that have begun and not ended.</summary>
    public long OpenStreams => Volatile.Read(ref _openStreams);

    /// <summary>Bytes of items that no transport has taken yet.</summary>
    public long HeldItemBytes => Volatile.Read(ref _heldItemBytes);

    /// <summary>
    /// Tells every connection that knows the frame, open now or later, that it should end. They go on being served: who owns them
    /// ends them by their token when the time is over. The first word counts.
    /// </summary>
    public void GoAway(GoAway word)
    {
        RequestServer[] open;
        lock (_gate)
        {
            if (_word is not null)
            {
                return;
            }

            _word = word;
            open = [.. _open];
        }

        foreach (var server in open)
        {
            server.SayGoAway(word);
        }
    }

    internal void Join(RequestServer server)
    {
        GoAway? word;
        lock (_gate)
        {
            _open.Add(server);
            word = _word;
        }

        if (word is not null)
        {
            server.SayGoAway(word);
        }
    }

    internal void Leave(RequestServer server)
    {
        lock (_gate)
        {
            _open.Remove(server);
        }
    }

    internal void CountStreams(int more) => Interlocked.Add(ref _openStreams, more);

    internal void CountItemBytes(long more) => Interlocked.Add(ref _heldItemBytes, more);
}
