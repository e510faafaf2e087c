using System.Threading.Channels;
using KvStore.Replication;

namespace KvStore.Node.Logging;

/// <summary>
/// Carries events from the workers to the log. A worker must never wait for a terminal or a pipe that nobody reads, so the
/// events pass a bounded queue; when it is full they are dropped and counted.
/// </summary>
internal sealed class NodeEventLog : IAsyncDisposable
{
    private const int Capacity = 1024;

    private readonly Channel<NodeEvent> _events;
    private readonly ILogger _log;
    private readonly Task _loop;
    private long _dropped;

    public NodeEventLog(ILogger log)
    {
        _log = log;
        _events = Channel.CreateBounded<NodeEvent>(
            new BoundedChannelOptions(Capacity) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true }, _ => Interlocked.Increment(ref _dropped));
        _loop = Task.Run(WriteAsync);
    }

    /// <summary>Any thread; never blocks.</summary>
    public void Add(NodeEvent happened) => _events.Writer.TryWrite(happened);

    public async ValueTask DisposeAsync()
    {
        _events.Writer.TryComplete();
        await _loop.ConfigureAwait(false);
    }

    private async Task WriteAsync()
    {
        await foreach (var happened in _events.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            Write(happened);
            if (Interlocked.Exchange(ref _dropped, 0) is > 0 and var dropped)
            {
                NodeLog.EventsDropped(_log, dropped);
            }
        }
    }

    private void Write(NodeEvent e)
    {
        Action<ILogger, Protocol.GroupId, ulong, ulong, string> line = e.Kind switch
        {
            // Term 0: nothing was there, on a first start once for every group.
            NodeEventKind.Recovered => e.Term == 0 ? NodeLog.FirstStartOfGroup : NodeLog.Recovered,
            NodeEventKind.BecameLeader => NodeLog.BecameLeader,
            NodeEventKind.LeaderChanged => NodeLog.LeaderChanged,
            NodeEventKind.LostLeadership => NodeLog.LostLeadership,
            NodeEventKind.Campaigning => NodeLog.Campaigning,
            NodeEventKind.SnapshotTaken => NodeLog.SnapshotTaken,
            NodeEventKind.LogCompacted => NodeLog.LogCompacted,
            NodeEventKind.LogHeldBack => NodeLog.LogHeldBack,
            NodeEventKind.PeerLost => NodeLog.PeerLost,
            NodeEventKind.ClockOff => NodeLog.ClockOff,
            _ => throw new InvalidOperationException($"{e.Kind} has no log line"),
        };
        line(_log, e.Group, e.Term, e.Index, e.Text);
    }
}
