using KvStore.Protocol;
using KvStore.Replication;
using KvStore.Storage;

namespace KvStore.Simulation;

/// <summary>
/// Does to a cluster what its plan says, at moments drawn from the seed, and counts what it did. A machine that went down comes back after a
/// while. <see cref="Stop"/> ends all faults and heals everything: the liveness phase begins.
/// </summary>
public sealed partial class Nemesis
{
    private readonly SimulatedCluster _cluster;
    private readonly SimulatedRandom _random;
    private readonly FaultPlan _plan;
    private readonly SortedDictionary<string, int> _counts = new(StringComparer.Ordinal);
    private readonly Dictionary<NodeId, LogDamage> _damage = [];
    private readonly HashSet<NodeId> _powerGoesAfterRestart = [];
    private bool _started;
    private bool _stopped;

    /// <param name="cluster">All of it.</param>
    /// <param name="plan">What is done, and how often.</param>
    /// <param name="lasting">Draws what lasts, apart from the rest.</param>
    /// <param name="old">Draws what becomes of old copies, apart from the rest.</param>
    public Nemesis(SimulatedCluster cluster, FaultPlan plan, SimulatedRandom lasting, SimulatedRandom old)
    {
        (_cluster, _plan, _lasting, _old) = (cluster, plan, lasting, old);
        _random = cluster.Random.Fork();
        foreach (SimulatedNode node in cluster.Nodes)
        {
            node.OnDiskFailure = OnDiskFailure;
            node.OnFolderRefused = OnFolderRefused;
        }

        cluster.GroupTime.IsWatched = plan.MovedReplicas <= 0;
        if (plan.StruckLeaders > 0)
        {
            cluster.Elected = StrikeLeader;
        }
    }

    /// <summary>Faults done so far, by kind.</summary>
    public IReadOnlyDictionary<string, int> Counts => _counts;

    public void Start()
    {
        _started = true;
        Every(_plan.Kills, "kill", node => BringDown(node, KillNow));
        Every(_plan.PowerCuts, "power-cut", node => BringDown(node, n => n.PowerCut(DrawCrashMode())));
        Every(_plan.Pauses, "pause", node => node.Pause(_random.Between(50_000, 4_000_000)));
        Every(_plan.Partitions, "partition", Isolate);
        Every(_plan.OneWayCuts, "one-way-cut", CutOneWay);
        Every(_plan.Clogs, "clog", node => _cluster.Network.Clog(node.Id, Other(node).Id, _random.Between(10_000, 1_500_000)));
        Every(_plan.SlowDisks, "slow-disk", SlowDown);
        Every(_plan.FailingSyncs, "failing-sync", node => node.Disk.FailSyncIn = 1 + _random.Below(20));
        Every(_plan.FullDisks, "full-disk", FillDisk);
        Every(_plan.DamagedLogs, "damaged-log", DamageLog);
        Every(_plan.ClockJumps, "clock-jump", _ => JumpClock());
        Every(_plan.Blackouts, "blackout", _ => BlackOut());
        EveryMove();
        StartLasting();
        StartOldCopies();
    }

    public void Stop()
    {
        _stopped = true;
        _cluster.Network.HealForGood();
        SetClocksRight();
        if (_copied is { IsOldCopy: true })
        {
            EndOldCopy();
        }

        foreach (SimulatedNode node in _cluster.Nodes)
        {
            node.DiskStandsStill = false;
            node.DiskSlowness = 1;
            node.Disk.CapacityBytes = long.MaxValue;
            node.Disk.FailSyncIn = 0;
            if (node.Store is null)
            {
                Start(node);
            }
        }
    }

    /// <summary>kill -9 and a start some time later, by somebody else's plan.</summary>
    public void Restart(SimulatedNode node)
    {
        if (node.Store is not null)
        {
            BringDown(node, KillNow);
        }
    }

    private void Every(double perSecond, string kind, Action<SimulatedNode> fault) => Every(_random, perSecond, kind, fault);

    private void Every(SimulatedRandom random, double perSecond, string kind, Action<SimulatedNode> fault)
    {
        if (perSecond <= 0)
        {
            return;
        }

        long mean = (long)(1_000_000 / perSecond);
        _cluster.Scheduler.After(random.Between(1, 2 * mean), kind, 0, () =>
        {
            if (_stopped)
            {
                return;
            }

            SimulatedNode node = _cluster.Nodes[random.Below(_cluster.Nodes.Count)];
            if (node.Store is not null)
            {
                Count(kind);
                fault(node);
            }

            Every(random, perSecond, kind, fault);
        });
    }

    private void EveryMove()
    {
        if (_plan.MovedReplicas <= 0)
        {
            return;
        }

        _cluster.Scheduler.After(_random.Between(1, (long)(2_000_000 / _plan.MovedReplicas)), "move-replica", 0, () =>
        {
            if (!_stopped)
            {
                if (_cluster.Placement.TryBegin(_plan.OnlyTwoRemovals))
                {
                    Count("move-replica");
                }

                EveryMove();
            }
        });
    }

    private void Count(string kind)
    {
        _counts[kind] = _counts.GetValueOrDefault(kind) + 1;
        _cluster.Tell($"fault: {kind}");
    }

    private CrashMode DrawCrashMode() => _random.Chance(0.5) ? CrashMode.Random : CrashMode.LoseUnsynced;

    /// <summary>
    /// kill -9; sometimes the power goes soon after the restart, and with it what the new process found in the page cache.
    /// </summary>
    private void KillNow(SimulatedNode node)
    {
        _cluster.Kill(node);
        if (_random.Chance(0.2))
        {
            _powerGoesAfterRestart.Add(node.Id);
        }
    }

    private void BringDown(SimulatedNode node, Action<SimulatedNode> how)
    {
        how(node);
        // kill -9 and then a power cut: the page cache that survived the process is gone after all.
        if (_random.Chance(0.2))
        {
            node.Disk.Crash(DrawCrashMode());
        }

        RestartLater(node);
    }

    private void RestartLater(SimulatedNode node) =>
        _cluster.Scheduler.After(_random.Between(1_000, 3_000_000), "restart", (int)node.Id.Value, () =>
        {
            if (node.Store is null)
            {
                Start(node);
            }
        });

    private void Start(SimulatedNode node)
    {
        if (node.IsOldCopy)
        {
            StartOldCopy(node);
            return;
        }

        _cluster.Start(node);
        if (node.Store is not null && _damage.TryGetValue(node.Id, out LogDamage? damage))
        {
            throw new SafetyViolationException("damage-noticed", $"n{node.Id} started with a damaged log, {damage}");
        }

        if (node.Store is not null && _powerGoesAfterRestart.Remove(node.Id) && !_stopped)
        {
            int life = node.Life;
            _cluster.Scheduler.After(_random.Between(1_000, 500_000), "power-after-kill", (int)node.Id.Value, () =>
            {
                if (node.Life == life && !_stopped)
                {
                    Count("power-after-kill");
                    BringDown(node, n => n.PowerCut(DrawCrashMode()));
                }
            });
        }
    }

    /// <summary>kill -9, and while the node is down something it has acknowledged is damaged.</summary>
    private void DamageLog(SimulatedNode node)
    {
        if (node.IsOldCopy)
        {
            return;
        }

        _cluster.Kill(node);
        if (LogDamage.TryStrike(node.Disk, $"/data/n{node.Id}/wal", _random) is { } damage)
        {
            _damage.Add(node.Id, damage);
        }

        RestartLater(node);
    }

    private void OnDiskFailure(SimulatedNode node, StorageException failure)
    {
        _cluster.Tell($"n{node.Id} stopped: {failure.Message}");
        if (failure is CorruptStorageException && Mend(node))
        {
            return;
        }

        if (failure.Errno == ErrorNotFound)
        {
            throw new SafetyViolationException("nothing-missing", $"n{node.Id} misses a file that nobody took away: {failure.Message}");
        }

        if (failure is CorruptStorageException)
        {
            throw new SafetyViolationException("undamaged-log", $"n{node.Id} calls its log damaged, and nobody damaged it: {failure.Message}");
        }

        // After a failed sync the cache may hold what the disk does not; half the time the machine goes down with it.
        node.Disk.CrashProcess();
        if (_random.Chance(0.5))
        {
            node.Disk.Crash(CrashMode.Random);
        }

        RestartLater(node);
    }

    /// <summary>A log that is gone as a whole is missed before anybody would read it.</summary>
    private bool OnFolderRefused(SimulatedNode node, IdentityException refused)
    {
        _cluster.Tell($"n{node.Id} does not start: {refused.Message}");
        return Mend(node);
    }

    /// <summary>Damage was noticed, as it must be. Here the operator has a good copy of the file.</summary>
    private bool Mend(SimulatedNode node)
    {
        if (!_damage.Remove(node.Id, out LogDamage? damage))
        {
            return false;
        }

        damage.Undo(node.Disk);
        _cluster.Marks.Hit(CoverageMarks.DamageRefused);
        RestartLater(node);
        return true;
    }

    /// <summary>
    /// Whole histories differ by what a leader managed to say before it was gone; a fault that comes at any time almost never
    /// comes within the millisecond after an election.
    /// </summary>
    private void StrikeLeader(SimulatedNode node)
    {
        if (!_started || _stopped || !_random.Chance(_plan.StruckLeaders))
        {
            return;
        }

        Count("struck-leader");
        bool cutOff = _random.Chance(0.75);
        if (cutOff)
        {
            CutOff(node);
            _cluster.Scheduler.After(
                _random.Between(50_000, 3_000_000), "reconnect", (int)node.Id.Value, () => UnlessStopped(() => _cluster.Network.HealCuts(node.Id)));
        }

        if (!cutOff || _random.Chance(0.5))
        {
            int life = node.Life;
            _cluster.Scheduler.After(_random.Between(0, 5_000), "strike", (int)node.Id.Value, () =>
            {
                if (node.Life == life && !_stopped)
                {
                    BringDown(node, KillNow);
                }
            });
        }
    }

    private void Isolate(SimulatedNode node)
    {
        CutOff(node);
        HealLater();
    }

    /// <summary>Cuts all links of a node; half the time both ends notice, as when connections break and cannot be made again.</summary>
    private void CutOff(SimulatedNode node)
    {
        bool noticed = _random.Chance(0.5);
        foreach (SimulatedNode other in _cluster.Nodes)
        {
            if (other != node)
            {
                _cluster.Network.Cut(node.Id, other.Id);
                _cluster.Network.Cut(other.Id, node.Id);
                if (noticed)
                {
                    _cluster.Scheduler.After(_random.Between(100, 100_000), "links-lost", (int)node.Id.Value, () => LoseEachOther(node, other));
                }
            }
        }
    }

    private void LoseEachOther(SimulatedNode node, SimulatedNode other)
    {
        if (_cluster.Network.IsCut(node.Id, other.Id) && _cluster.Network.IsCut(other.Id, node.Id))
        {
            node.Store?.OnPeerLost(other.Id);
            other.Store?.OnPeerLost(node.Id);
        }
    }

    private void CutOneWay(SimulatedNode node)
    {
        _cluster.Network.Cut(node.Id, Other(node).Id);
        HealLater();
    }

    private void HealLater() =>
        _cluster.Scheduler.After(_random.Between(100_000, 5_000_000), "heal", 0, () => UnlessStopped(_cluster.Network.HealCuts));

    /// <summary>What is cut after the nemesis has stopped is not its own.</summary>
    private void UnlessStopped(Action heal)
    {
        if (!_stopped)
        {
            heal();
        }
    }

    private void SlowDown(SimulatedNode node)
    {
        node.DiskSlowness = 50;
        _cluster.Scheduler.After(_random.Between(100_000, 2_000_000), "disk-recovers", (int)node.Id.Value, () => node.DiskSlowness = 1);
    }

    private void FillDisk(SimulatedNode node)
    {
        node.Disk.CapacityBytes = 1;
        _cluster.Scheduler.After(_random.Between(100_000, 2_000_000), "room-again", (int)node.Id.Value, () => node.Disk.CapacityBytes = long.MaxValue);
    }

    /// <summary>Always the first machine's, so that the median of three or five clocks stays right.</summary>
    private void JumpClock()
    {
        SimulatedClock clock = _cluster.Nodes[0].Clock;
        long most = _random.Chance(0.3) ? YearMs : 2 * HourMs;
        clock.WallOffsetMs = _random.Between(-most, most);
        _cluster.Scheduler.After(_random.Between(1_000_000, 20_000_000), "clock-set-right", 1, () => clock.WallOffsetMs = 0);
    }

    private void BlackOut()
    {
        foreach (SimulatedNode node in _cluster.Nodes)
        {
            if (node.Store is not null)
            {
                node.PowerCut(DrawCrashMode());
                RestartLater(node);
            }
        }
    }

    private SimulatedNode Other(SimulatedNode node)
    {
        NodeId self = node.Id;
        int step = 1 + _random.Below(_cluster.Nodes.Count - 1);
        return _cluster.Nodes[(int)((self.Value - 1 + (uint)step) % (uint)_cluster.Nodes.Count)];
    }

    private const int ErrorNotFound = 2;
    private const long HourMs = 3_600_000;
    private const long YearMs = 365 * 24 * HourMs;
}
