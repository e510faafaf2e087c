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
            new BoundedChannelOptions(Capacity) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true },
            _ => Interlocked.Increment(ref _dropped));
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
        switch (e.Kind)
        {
            case NodeEventKind.Recovered when e.Term == 0:
                NodeLog.FirstStartOfGroup(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.Recovered:
                NodeLog.Recovered(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.BecameLeader:
                NodeLog.BecameLeader(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.LeaderChanged:
                NodeLog.LeaderChanged(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.LostLeadership:
                NodeLog.LostLeadership(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.Campaigning:
                NodeLog.Campaigning(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.SnapshotTaken:
                NodeLog.SnapshotTaken(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.LogCompacted:
                NodeLog.LogCompacted(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.SnapshotFetched:
                NodeLog.SnapshotFetched(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.SnapshotInstalled:
                NodeLog.SnapshotInstalled(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.ReplicaCame:
                NodeLog.ReplicaCame(_log, e.Group, e.Text);
                break;
            case NodeEventKind.ReplicaLeft:
                NodeLog.ReplicaLeft(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.TornTailCut:
                NodeLog.TornTailCut(_log, e.Text);
                break;
            case NodeEventKind.LevelRaised:
                NodeLog.LevelRaised(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.AboveLevel:
                NodeLog.AboveLevel(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.MemoryShort or NodeEventKind.DiskShort:
                NodeLog.RoomIsShort(_log, e.Text);
                break;
            case NodeEventKind.MemoryEnough or NodeEventKind.DiskEnough:
                NodeLog.RoomIsEnough(_log, e.Text);
                break;
            case NodeEventKind.SnapshotDamaged:
                NodeLog.SnapshotDamaged(_log, e.Group, e.Term, e.Index, e.Text);
                break;
            case NodeEventKind.GroupsAhead:
                NodeLog.GroupsAhead(_log, e.Text);
                break;
            case NodeEventKind.DiskSick:
                NodeLog.DiskSick(_log, e.Text);
                break;
            case NodeEventKind.DiskWell:
                NodeLog.DiskWell(_log, e.Text);
                break;
            case NodeEventKind.PeerLost:
                NodeLog.PeerLost(_log, e.Text);
                break;
            case NodeEventKind.Serving:
                NodeLog.Serving(_log, e.Text);
                break;
            case NodeEventKind.NoLeader:
                NodeLog.NoLeader(_log, e.Text);
                break;
            case NodeEventKind.ClockOff:
                NodeLog.ClockOff(_log, e.Text);
                break;
            default:
                throw new InvalidOperationException($"{e.Kind} has no log line");
        }
    }
}
