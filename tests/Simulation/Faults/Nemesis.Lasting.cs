using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>Faults that last for longer than anybody should wait: what is silent, full, wrong or away for seconds, and not broken.</summary>
public sealed partial class Nemesis
{
    private readonly SimulatedRandom _lasting;
    private readonly HashSet<SimulatedNode> _wrongClocks = [];

    private void StartLasting()
    {
        Every(_lasting, _plan.HangingDisks, "hanging-disk", HangDisk);
        Every(_lasting, _plan.FullDisksForLong, "full-disk-for-long", FillDiskForLong);
        Every(_lasting, _plan.WrongMajorities, "wrong-majority", _ => TurnMostClocks());
        Every(_lasting, _plan.LostMajorities, "lost-majority", _ => TakeMajority());
    }

    private void HangDisk(SimulatedNode node)
    {
        node.DiskStandsStill = true;
        After(200_000, 15_000_000, "disk-goes-on", () => node.DiskStandsStill = false);
    }

    private void FillDiskForLong(SimulatedNode node)
    {
        node.Disk.FillUp();
        node.Disk.CapacityBytes += _lasting.Below(64) * 1024L;
        After(2_000_000, 20_000_000, "room-again", () => node.Disk.CapacityBytes = long.MaxValue);
    }

    /// <summary>All by the same, as a wrong time server does it. Records of what was executed live for ten minutes, so five change no verdict.</summary>
    private void TurnMostClocks()
    {
        int count = (_cluster.Nodes.Count / 2) + 1;
        int first = _lasting.Below(_cluster.Nodes.Count);
        long offsetMs = _lasting.Between(6_000, FiveMinutesMs) * (_lasting.Chance(0.5) ? 1 : -1);
        _cluster.GroupTime.Allow(offsetMs);
        for (int n = 0; n < count; n++)
        {
            SimulatedNode node = _cluster.Nodes[(first + n) % _cluster.Nodes.Count];
            node.Clock.WallOffsetMs = offsetMs;
            _wrongClocks.Add(node);
        }

        After(5_000_000, 60_000_000, "clocks-set-right", SetClocksRight);
    }

    private void SetClocksRight()
    {
        foreach (SimulatedNode node in _wrongClocks)
        {
            node.Clock.WallOffsetMs = 0;
        }

        _wrongClocks.Clear();
    }

    /// <summary>The nodes are killed, or cut off from all others.</summary>
    private void TakeMajority()
    {
        var group = new GroupId((uint)(1 + _lasting.Below(_cluster.Routing.GroupCount)));
        SimulatedNode[] members = [.. _cluster.Placement.Current.ReplicasOf(group).Select(place => _cluster.Nodes[(int)place.Node.Value - 1]).Distinct()];
        int first = _lasting.Below(members.Length);
        bool kill = _lasting.Chance(0.5);
        _cluster.Forwards.WithoutMajority.Add(group);
        SimulatedNode[] taken = [.. Enumerable.Range(first, (members.Length / 2) + 1).Select(n => members[n % members.Length])];
        foreach (SimulatedNode node in taken.Where(n => n.Store is not null))
        {
            if (kill)
            {
                _cluster.Kill(node);
            }
            else
            {
                CutOff(node);
            }
        }

        After(1_000_000, 12_000_000, "majority-back", () =>
        {
            _cluster.Forwards.WithoutMajority.Remove(group);
            foreach (SimulatedNode node in taken)
            {
                _cluster.Network.HealCuts(node.Id);
                if (node.Store is null)
                {
                    Start(node);
                }
            }
        });
    }

    private void After(long fromMicros, long toMicros, string name, Action then) =>
        _cluster.Scheduler.After(_lasting.Between(fromMicros, toMicros), name, 0, () => UnlessStopped(then));

    private const long FiveMinutesMs = 300_000;
}
