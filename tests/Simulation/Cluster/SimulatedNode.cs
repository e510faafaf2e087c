using KvStore.Protocol;
using KvStore.Replication;
using KvStore.Storage;

namespace KvStore.Simulation;

/// <summary>
/// One machine: a disk that outlives its processes, clocks, and at most one running process, the real StoreNode. The
/// scheduler turns its loops and its log; Gather, Write, Sync and Complete are separate events, so that a crash can fall
/// between any two.
/// </summary>
public sealed class SimulatedNode
{
    private readonly Scheduler _scheduler;
    private readonly SimulatedRandom _random;
    private readonly Func<ulong, StoreNodeOptions> _options;
    private readonly ITransport _transport;
    private readonly Action<NodeId, NodeEvent> _events;
    private readonly List<Action> _onCrash = [];
    private readonly HashSet<ShardLoop> _loopsScheduled = [];
    private bool _logScheduled;
    private bool _snapshotsScheduled;
    private PeerBook? _book;
    private long _pausedUntilMicros;

    public SimulatedNode(
        NodeId id, Scheduler scheduler, SimulatedRandom random, MemoryFileSystem disk, SimulatedClock clock, ITransport transport,
        Func<ulong, StoreNodeOptions> options, Action<NodeId, NodeEvent> events)
    {
        (Id, _scheduler, _random, Disk, Clock, _transport, _options, _events) =
            (id, scheduler, random, disk, clock, transport, options, events);
    }

    public NodeId Id { get; }

    public MemoryFileSystem Disk { get; }

    public SimulatedClock Clock { get; }

    /// <summary>Counts processes: what was scheduled for an earlier one finds nobody.</summary>
    public int Life { get; private set; }

    /// <summary>The running process; null while the machine is down.</summary>
    public StoreNode? Store { get; private set; }

    /// <summary>The process that runs, or the one that ran last: what it knew to be durable is.</summary>
    public StoreNode? LastStore { get; private set; }

    /// <summary>What the next process knows: below <see cref="FeatureLevel.Max"/> it stands for an older build.</summary>
    public ushort MaxLevel { get; set; } = FeatureLevel.Max;

    /// <summary>The highest level that a process on this machine has ever said.</summary>
    public ushort HighestLevelSaid { get; private set; }

    /// <summary>Whose folder the running process has, or the one that ran last.</summary>
    public NodeIdentity? Identity { get; private set; }

    /// <summary>The disk was put back as it was some starts ago: what runs on it now has forgotten promises, and must be kept out.</summary>
    public bool IsOldCopy { get; set; }

    public bool IsCapped => Store is { } store && store.Options.MaxLevel < FeatureLevel.Max;

    /// <summary>Every disk operation takes this many times as long.</summary>
    public int DiskSlowness { get; set; } = 1;

    /// <summary>Every sync of the log takes so much longer.</summary>
    public long SyncExtraMicros { get; set; }

    /// <summary>The disk finishes nothing: a sync that has begun, or begins, ends when this is over.</summary>
    public bool DiskStandsStill { get; set; }

    /// <summary>The disk failed under the running process, which stopped because of it; said once.</summary>
    public Action<SimulatedNode, StorageException>? OnDiskFailure { get; set; }

    /// <summary>A process was refused its folder: true when somebody damaged it, and has mended it now.</summary>
    public Func<SimulatedNode, IdentityException, bool>? OnFolderRefused { get; set; }

    /// <summary>Another node has refused this one for what its folder lacks, as none may whose folder lacks nothing.</summary>
    public Action<SimulatedNode, HelloRefused>? OnRefused { get; set; }

    /// <summary>The process has ended because a new cluster's clocks are apart, as it must only where somebody turned them.</summary>
    public Action<SimulatedNode, HelloRefused>? OnClocksApart { get; set; }

    /// <summary>A process is about to be gone.</summary>
    public Action<StoreNode>? OnEnded { get; set; }

    public bool IsPaused => _scheduler.NowMicros < _pausedUntilMicros;

    /// <summary>SIGSTOP: nothing of the process runs until then; its disk and the network go on.</summary>
    public void Pause(long micros) => _pausedUntilMicros = Math.Max(_pausedUntilMicros, _scheduler.NowMicros + micros);

    public void Start()
    {
        Life++;
        StoreNodeOptions options = _options((ulong)Life) with { MaxLevel = MaxLevel };
        NodeIdentity identity = TakePossession(options);
        StoreNode store = StoreNode.Open(
            options with { FolderLevel = identity.Level, MarkFolder = identity.RaiseLevel }, Disk, _transport, Clock, e => _events(Id, e));
        identity.MarkLogCreated();
        identity.SayHello();
        _book = PeerBook.Open(Disk, options.Directory);
        Identity = identity;
        HighestLevelSaid = Math.Max(HighestLevelSaid, MaxLevel);
        Store = store;
        LastStore = IsOldCopy ? LastStore : store;
        foreach (ShardLoop loop in store.Loops)
        {
            loop.Wake = () => ScheduleTurn(store, loop);
            ScheduleTurn(store, loop);
            ScheduleTimer(store, loop);
        }

        store.Log.Wake = () => ScheduleLog(store);
        store.Snapshots.Wake = () => ScheduleSnapshots(store);
    }

    /// <exception cref="IdentityException">The folder is marked for a later build than this one.</exception>
    private NodeIdentity TakePossession(StoreNodeOptions options)
    {
        var layout = new ClusterLayout(
            options.ClusterId, options.Routing.VirtualNodeCount, options.Routing.GroupCount, ReplicationFactor: 3, options.NodeNames);
        DurableDirectory.Create(Disk, options.Directory);
        return NodeIdentity.Open(
            Disk, options.Directory, options.NodeNames[(int)Id.Value - 1], layout, options.Uuid, process: (ulong)Life, options.MaxLevel);
    }

    /// <summary>Whether this node lets another one in; null: it does, and that is durable.</summary>
    public HelloRefused? Judge(SimulatedNode peer)
    {
        NodeIdentity said = peer.Identity!;
        HelloRefusal? reason = HelloRefusal.Starting;
        OnOwnDisk(() => reason = _book!.Admit(new PeerIdentity(peer.Id, said.Uuid, said.Incarnation, said.Process), said.Starts));
        return reason is null ? null : new HelloRefused(reason.Value, $"n{Id} does not let n{peer.Id} in: {reason}");
    }

    /// <summary>Another node has let this one in.</summary>
    public void LetInBy(NodeId peer) => OnOwnDisk(() => Identity!.LetInBy(peer));

    /// <summary>The process ends when the cluster refuses its folder.</summary>
    public void RefusedByCluster(HelloRefused refused)
    {
        OnOwnDisk(() => Identity!.MarkRefused(refused.Detail));
        if (OnRefused is not { } told)
        {
            throw new SafetyViolationException("old-copy-accused", $"nobody put an old folder in the place of that of n{Id}: {refused.Detail}");
        }

        StopProcess();
        Disk.CrashProcess();
        told(this, refused);
    }

    /// <summary>The process ends: this cluster is new, and its clocks are apart.</summary>
    public void EndedByClocks(HelloRefused refused)
    {
        if (OnClocksApart is not { } told)
        {
            throw new SafetyViolationException("clocks-accused", $"nobody turned the clocks of a new cluster: {refused.Detail}");
        }

        StopProcess();
        Disk.CrashProcess();
        told(this, refused);
    }

    private void OnOwnDisk(Action change)
    {
        try
        {
            change();
        }
        catch (StorageException failure)
        {
            StopProcess();
            OnDiskFailure?.Invoke(this, failure);
        }
    }

    /// <summary>The machine loses power: the process is gone, and of what was not synced the disk keeps what the mode says.</summary>
    public void PowerCut(CrashMode mode)
    {
        StopProcess();
        Disk.Crash(mode);

        // An elapsed clock counts from the start of the machine.
        Clock.OriginMicros = _random.Between(1, 1L << 40);
    }

    /// <summary>The process is gone. What the disk keeps is the disk's affair.</summary>
    public void StopProcess()
    {
        if (Store is { } ended)
        {
            OnEnded?.Invoke(ended);
        }

        Store = null;
        Life++;
        _pausedUntilMicros = 0;
        _loopsScheduled.Clear();
        _logScheduled = false;
        _snapshotsScheduled = false;
        Action[] told = [.. _onCrash];
        _onCrash.Clear();
        foreach (Action tell in told)
        {
            tell();
        }
    }

    /// <summary>Called once when the process running now is gone.</summary>
    public void OnCrash(Action tell) => _onCrash.Add(tell);

    private void ScheduleTurn(StoreNode store, ShardLoop loop)
    {
        if (ReferenceEquals(store, Store) && _loopsScheduled.Add(loop))
        {
            Schedule(store, _random.Between(1, 30), "turn", () =>
            {
                _loopsScheduled.Remove(loop);
                if (loop.RunOnce())
                {
                    ScheduleTurn(store, loop);
                }
            });
        }
    }

    private void ScheduleTimer(StoreNode store, ShardLoop loop) =>
        Schedule(store, Math.Max(1, loop.NextDueMs) * 1000L, "timer", () =>
        {
            ScheduleTurn(store, loop);
            ScheduleTimer(store, loop);
        });

    private void ScheduleLog(StoreNode store)
    {
        if (!ReferenceEquals(store, Store) || _logScheduled)
        {
            return;
        }

        _logScheduled = true;
        LogStep(store, "wal-gather", 1, 20, () =>
        {
            if (!store.Log.Gather())
            {
                _logScheduled = false;
                return;
            }

            ScheduleWrite(store, 5, 50);
        });
    }

    private void ScheduleWrite(StoreNode store, long minMicros, long maxMicros) => LogStep(store, "wal-write", minMicros, maxMicros, () =>
    {
        if (!store.Log.Write())
        {
            ScheduleWrite(store, RoomPollMicros, RoomPollMicros);
            return;
        }

        LogStep(store, "wal-sync", 20, 1_000, SyncExtraMicros, () => WhenDiskGoesOn(store, () =>
        {
            store.Log.Sync();
            LogStep(store, "wal-complete", 1, 20, () =>
            {
                store.Log.Complete();
                _logScheduled = false;
                ScheduleLog(store);
            });
        }));
    });

    private void LogStep(StoreNode store, string name, long minMicros, long maxMicros, Action step) =>
        LogStep(store, name, minMicros, maxMicros, extraMicros: 0, step);

    private void LogStep(StoreNode store, string name, long minMicros, long maxMicros, long extraMicros, Action step) =>
        Schedule(store, (_random.Between(minMicros, maxMicros) * DiskSlowness) + extraMicros, name, step);

    private void WhenDiskGoesOn(StoreNode store, Action step)
    {
        if (DiskStandsStill)
        {
            Schedule(store, DiskLookMicros, "disk-stands-still", () => WhenDiskGoesOn(store, step));
        }
        else
        {
            step();
        }
    }

    /// <summary>An event of one process: it does not happen when that process is gone, and waits while it is paused.</summary>
    private void Schedule(StoreNode store, long delayMicros, string name, Action run) =>
        _scheduler.After(delayMicros, name, (int)Id.Value, () =>
        {
            if (!ReferenceEquals(store, Store))
            {
                return;
            }

            if (IsPaused)
            {
                Schedule(store, _pausedUntilMicros - _scheduler.NowMicros, name, run);
                return;
            }

            try
            {
                run();
            }
            catch (StorageException full) when (full.IsFull)
            {
                throw new SafetyViolationException("full-disk-survived", $"n{Id} would stop because its disk is full: {full.Message}");
            }
            catch (StorageException failure)
            {
                // A failed disk stops the node: it is never asked again by the same process.
                StopProcess();
                OnDiskFailure?.Invoke(this, failure);
            }
        });

    private void ScheduleSnapshots(StoreNode store)
    {
        if (ReferenceEquals(store, Store) && !_snapshotsScheduled)
        {
            _snapshotsScheduled = true;
            LogStep(store, "snapshot", 50, 2_000, () =>
            {
                _snapshotsScheduled = false;
                if (store.Snapshots.RunOnce(SnapshotStepBytes))
                {
                    ScheduleSnapshots(store);
                }
            });
        }
    }

    private const long DiskLookMicros = 10_000;

    private const int SnapshotStepBytes = 16 * 1024;
    private const long RoomPollMicros = 100_000;
}
