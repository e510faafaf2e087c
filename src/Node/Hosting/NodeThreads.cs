using KvStore.Protocol;
using KvStore.Replication;
using KvStore.Storage;

namespace KvStore.Node.Hosting;

/// <summary>
/// All threads of one node: a worker per shard loop, one for the log, one for snapshots. The objects they turn are synchronous
/// and know nothing of threads; the simulator turns the same ones in one thread.
/// </summary>
internal sealed class NodeThreads : IDisposable
{
    private const int SnapshotStepBytes = 1 << 20;

    /// <summary>One step, then this pause: at most about 100 MiB/s of snapshots, so that they never starve the log.</summary>
    private const int SnapshotPauseMs = 10;

    /// <summary>A batch that waits for room on the disk is tried again so often.</summary>
    private const int RoomPollMs = 100;

    private readonly List<LoopThread> _workers = [];
    private readonly LoopThread _log;
    private readonly LoopThread _snapshots;

    public NodeThreads(string node, StoreNode store, Action<string, Exception> failed)
    {
        foreach (var loop in store.Loops)
        {
            var worker = new LoopThread($"{node} worker {_workers.Count}", () => WorkerTurn(loop), finishesWork: false, failed);
            loop.Wake = worker.Wake;
            _workers.Add(worker);
        }

        // What was submitted is written and synced before the log's thread ends: completions for it are owed to nobody any
        // more, but the entries are worth having after a restart.
        _log = new LoopThread($"{node} log", () => LogTurn(store.Log), finishesWork: true, failed);
        store.Log.Wake = _log.Wake;
        _snapshots = new LoopThread(
            $"{node} snapshots", () => SnapshotTurn(store.Snapshots), finishesWork: false, failed, ThreadPriority.BelowNormal);
        store.Snapshots.Wake = _snapshots.Wake;
    }

    public void Start()
    {
        _log.Start();
        _snapshots.Start();
        _workers.ForEach(worker => worker.Start());
    }

    /// <summary>Workers first: once they are still, nothing is submitted to the log any more.</summary>
    public async Task StopAsync()
    {
        await Task.WhenAll(_workers.Select(worker => worker.StopAsync())).ConfigureAwait(false);
        await Task.WhenAll(_log.StopAsync(), _snapshots.StopAsync()).ConfigureAwait(false);
    }

    public void Dispose()
    {
        _workers.ForEach(worker => worker.Dispose());
        _log.Dispose();
        _snapshots.Dispose();
    }

    // What a turn has to send, to clients and to peers, goes out at its end, by this thread.
    private static int WorkerTurn(ShardLoop loop)
    {
        bool isTurn = SendTurn.TryBegin();
        try
        {
            return loop.RunOnce() ? 0 : Math.Max(1, loop.NextDueMs);
        }
        finally
        {
            SendTurn.End(isTurn);
        }
    }

    private static int LogTurn(WriteAheadLog log)
    {
        if (!log.IsWaitingForRoom && !log.Gather())
        {
            return Timeout.Infinite;
        }

        if (!log.Write())
        {
            return RoomPollMs;
        }

        log.Sync();
        log.Complete();
        return 0;
    }

    private static int SnapshotTurn(SnapshotQueue snapshots) => snapshots.RunOnce(SnapshotStepBytes) ? SnapshotPauseMs : Timeout.Infinite;
}
