using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>
/// Moves replicas about, as whoever owns the placement will: one course of steps per group at a time, each repeated until the
/// group's committed configuration shows that it is done. Nodes hear of a new table late, and not in the same order.
/// The rules it keeps are those of <see cref="StoreNode.UseRouting"/>: an id is used once, and a replica leaves the table only
/// after a configuration without it is committed.
/// </summary>
/// <remarks>
/// With epochs, a change follows the table that wants it, and says where a newcomer lives. Then nodes also act by the table they have,
/// however old: a leader wants every replica back that its table does not know to be unwanted. It must be refused.
/// </remarks>
public sealed class PlacementDriver
{
    private readonly SimulatedCluster _cluster;
    private readonly SimulatedRandom _random;
    private readonly Dictionary<GroupId, Queue<Step>> _courses = [];
    private readonly List<RoutingTable> _tables = [];
    private readonly HashSet<(GroupId Group, NodeId Node)> _hadReplica = [];
    private readonly Dictionary<(GroupId Group, ReplicaId Replica), ulong> _unwantedSince = [];
    private readonly bool _withEpochs;
    private readonly Dictionary<GroupId, string> _lastRefusal = [];
    private ulong _lastReplica;

    /// <summary>One step of a course: done when it says so, tried again until then.</summary>
    private sealed record Step(Func<ConfState, bool> IsDone, Action<ConfState> Try);

    public PlacementDriver(SimulatedCluster cluster, RoutingTable first, SimulatedRandom random, bool withEpochs)
    {
        (_cluster, _random, _withEpochs) = (cluster, random, withEpochs);
        _tables.Add(first);
        for (uint g = 1; g <= first.GroupCount; g++)
        {
            foreach (ReplicaPlacement place in first.ReplicasOf(new GroupId(g)))
            {
                _lastReplica = Math.Max(_lastReplica, place.ReplicaId);
                _hadReplica.Add((new GroupId(g), place.Node));
            }
        }
    }

    public RoutingTable Current => _tables[^1];

    public RoutingTable TableOf(ulong epoch) => _tables[(int)epoch - 1];

    /// <summary>No course is under way, and every node holds exactly the replicas that the table gives it.</summary>
    public bool IsSettled => _courses.Count == 0 && _cluster.Nodes.All(node => node.Store is { } store && HoldsItsPlaces(node.Id, store));

    /// <summary>What is still to come, for whoever has to find out why it does not.</summary>
    public string Pending => string.Join("; ", _courses.OrderBy(c => c.Key).Select(
            c => $"group {c.Key}: {c.Value.Count} steps, last refusal {_lastRefusal.GetValueOrDefault(c.Key, "none")}")
        .Concat(_cluster.Nodes.Where(n => n.Store is not { } store || !HoldsItsPlaces(n.Id, store)).Select(n => $"n{n.Id} holds other replicas than its places")));

    /// <summary>What a starting node has as its placement: the table it knew last; sometimes the file it was kept in is older.</summary>
    public RoutingTable TableAtStart(SimulatedNode node)
    {
        ulong known = node.LastStore?.Routing.Epoch ?? RoutingTable.FirstEpoch;
        return _tables[_random.Chance(0.2) ? _random.Below((int)known) : (int)known - 1];
    }

    public void Start() => _cluster.Scheduler.After(TickMicros, "placement", 0, () =>
    {
        foreach ((GroupId group, Queue<Step> course) in _courses.OrderBy(c => c.Key).ToArray())
        {
            ConfState configuration = _cluster.Configurations.Newest(group);
            while (course.TryPeek(out Step? step) && step.IsDone(configuration))
            {
                course.Dequeue();
            }

            if (course.TryPeek(out Step? next))
            {
                next.Try(configuration);
            }
            else
            {
                _courses.Remove(group);
            }
        }

        foreach (SimulatedNode node in _cluster.Nodes)
        {
            if (node.Store is { } store && store.Routing.Epoch < Current.Epoch && _random.Chance(0.5))
            {
                store.UseRouting(Current);
            }
        }

        WantBackByOldTables();
        Start();
    });

    /// <summary>Begins a course for a group drawn at random; the answer is whether it had none.</summary>
    public bool TryBegin(bool onlyTwoRemovals)
    {
        var group = new GroupId((uint)(1 + _random.Below(Current.GroupCount)));
        if (_courses.ContainsKey(group) || (onlyTwoRemovals && _cluster.Configurations.Newest(group).Voters.Count < 3))
        {
            return false;
        }

        var course = new Queue<Step>();
        List<ReplicaPlacement> members = [.. Current.ReplicasOf(group).Where(p => _cluster.Configurations.Newest(group).Voters.Contains(Id(p)))];
        int voters = members.Count;

        // An older build stays where it is: a group that it has left is raised, and it could not come back.
        members.RemoveAll(p => _cluster.Nodes[(int)p.Node.Value - 1].MaxLevel < FeatureLevel.Max);
        if (members.Count == 0 || (onlyTwoRemovals && members.Count < 2))
        {
            return false;
        }

        NodeId[] free = [.. _cluster.Nodes.Where(n => n.MaxLevel == FeatureLevel.Max).Select(n => n.Id).Where(n => Current.ReplicaOn(group, n) == 0)];
        ReplicaPlacement victim = _random.Chance(0.4) && LeaderOf(group) is { } leader && members.Exists(p => Id(p) == leader.Id)
            ? members.Find(p => Id(p) == leader.Id)
            : members[_random.Below(members.Count)];
        switch (onlyTwoRemovals ? 2 : _random.Below(4))
        {
            case 0 or 1 when free.Length > 0:
                Replace(course, group, victim, free[_random.Below(free.Length)]);
                break;
            case 1 or 2 when voters >= 3 && members.Count >= 2:
                RemoveTwoAndBringBack(course, group, victim, members.Find(p => p != victim));
                break;
            default:
                Demote(course, group, victim);
                break;
        }

        _cluster.Tell($"course for group {group}: {course.Count} steps, victim {victim.ReplicaId} on n{victim.Node}");
        _courses.Add(group, course);
        return true;
    }

    private void Replace(Queue<Step> course, GroupId group, ReplicaPlacement victim, NodeId node)
    {
        ReplicaId newcomer = Come(course, group, node);
        NoLongerWant(course, group, victim);
        Joint(course, group, Voter(newcomer), Gone(victim));
        Go(course, group, victim);
    }

    /// <summary>The schedule in which a commit index that is not durable with its append ends in two leaders of one group.</summary>
    private void RemoveTwoAndBringBack(Queue<Step> course, GroupId group, ReplicaPlacement one, ReplicaPlacement two)
    {
        NoLongerWant(course, group, one);
        Change(course, group, Gone(one));
        NoLongerWant(course, group, two);
        Change(course, group, Gone(two));
        course.Enqueue(Until(_cluster.Scheduler.NowMicros + _random.Between(100_000, 5_000_000)));
        foreach (ReplicaPlacement place in (ReplicaPlacement[])[one, two])
        {
            Go(course, group, place);
            Change(course, group, Voter(Come(course, group, place.Node)));
        }
    }

    private void Demote(Queue<Step> course, GroupId group, ReplicaPlacement victim)
    {
        Change(course, group, new ConfChangeStep(ConfChangeKind.AddLearner, Id(victim)));
        course.Enqueue(Until(_cluster.Scheduler.NowMicros + _random.Between(100_000, 3_000_000)));
        if (_random.Chance(0.5))
        {
            Change(course, group, Voter(Id(victim)));
            return;
        }

        NoLongerWant(course, group, victim);
        Change(course, group, Gone(victim));
        Go(course, group, victim);
        Change(course, group, Voter(Come(course, group, victim.Node)));
    }

    /// <summary>A place in the table, then a learner, then mostly the wait until it has caught up.</summary>
    private ReplicaId Come(Queue<Step> course, GroupId group, NodeId node)
    {
        var newcomer = new ReplicaId(++_lastReplica);
        bool placed = false;
        course.Enqueue(new Step(_ => placed, _ =>
        {
            placed = true;
            _cluster.Marks.Hit(CoverageMarks.ReplicaCreatedAgain, _hadReplica.Add((group, node)) ? 0 : 1);
            Move(group, places => places.Add(new ReplicaPlacement(newcomer.Value, node)));
        }));
        Change(course, group, new ConfChangeStep(ConfChangeKind.AddLearner, newcomer, node.Value));
        if (_random.Chance(0.8))
        {
            course.Enqueue(new Step(_ => HasCaughtUp(group, newcomer, node), _ => { }));
        }

        return newcomer;
    }

    private void Go(Queue<Step> course, GroupId group, ReplicaPlacement place)
    {
        bool gone = false;
        course.Enqueue(new Step(_ => gone, _ =>
        {
            if (_cluster.Configurations.IsOut(group, Id(place)))
            {
                gone = true;
                _cluster.Configurations.GiveUp(group, Id(place));
                Move(group, places => places.Remove(place));
            }
        }));
    }

    /// <summary>A new table in which the replica has its place still, but is not to keep it.</summary>
    private void NoLongerWant(Queue<Step> course, GroupId group, ReplicaPlacement place)
    {
        bool said = !_withEpochs;
        course.Enqueue(new Step(_ => said, _ =>
        {
            said = true;
            Move(group, _ => { });
            _unwantedSince.Add((group, Id(place)), Current.Epoch);
        }));
    }

    /// <summary>
    /// What leaders with an older table do on their own. Only where the group has come to follow a table that says otherwise: while a
    /// member is of feature level 1 nothing about tables is written, and nothing protects the group.
    /// </summary>
    private void WantBackByOldTables()
    {
        foreach (((GroupId group, ReplicaId replica), ulong since) in _unwantedSince)
        {
            foreach (SimulatedNode node in _cluster.Nodes)
            {
                if (node.Store is not { } store || store.Routing.Epoch >= since || store.LocalReplica(group) is not { IsLeader: true } leader
                    || leader.Configuration.IsMember(replica)
                    || _cluster.Configurations.Newest(group).Epoch < since
                    || store.Routing.ReplicasOf(group).FirstOrDefault(p => p.ReplicaId == replica.Value) is not { ReplicaId: not 0 } place)
                {
                    continue;
                }

                ConfChange change = new(ConfTransition.Auto, [new ConfChangeStep(ConfChangeKind.AddLearner, replica, place.Node.Value)])
                {
                    Epoch = store.Routing.Epoch,
                };
                store.ProposeConfChange(group, change, reply =>
                    _cluster.Marks.Hit(CoverageMarks.OlderTableRefused, reply.Outcome == ConfChangeOutcome.OlderTable ? 1 : 0));
            }
        }
    }

    private void Joint(Queue<Step> course, GroupId group, params ConfChangeStep[] steps)
    {
        bool explicitly = _random.Chance(0.3);
        Propose(course, group, new ConfChange(explicitly ? ConfTransition.JointExplicit : ConfTransition.JointAutoLeave, steps));
        if (explicitly)
        {
            course.Enqueue(new Step(c => !c.IsJoint, _ => AtLeader(group, ConfChange.LeaveJoint)));
        }
        else
        {
            course.Enqueue(new Step(c => !c.IsJoint, _ => { }));
        }
    }

    private void Change(Queue<Step> course, GroupId group, ConfChangeStep step) =>
        Propose(course, group, new ConfChange(ConfTransition.Auto, [step]));

    private void Propose(Queue<Step> course, GroupId group, ConfChange change) =>
        course.Enqueue(new Step(c => change.Steps.All(step => IsDone(step, c)), _ => AtLeader(group, change)));

    private static bool IsDone(ConfChangeStep step, ConfState configuration) => step.Kind switch
    {
        ConfChangeKind.AddVoter => configuration.Voters.Contains(step.Id),
        ConfChangeKind.AddLearner => configuration.Learners.Contains(step.Id) || configuration.LearnersNext.Contains(step.Id),
        _ => !configuration.Voters.Contains(step.Id) && !configuration.Learners.Contains(step.Id),
    };

    private Step Until(long micros) => new(_ => _cluster.Scheduler.NowMicros >= micros, _ => { });

    /// <summary>Proposed at whoever believes to lead; refusals are told by nothing happening.</summary>
    private void AtLeader(GroupId group, ConfChange change)
    {
        change = _withEpochs ? change with { Epoch = Current.Epoch } : change.WithoutEpoch();
        foreach (SimulatedNode node in _cluster.Nodes)
        {
            if (node.Store is { } store && store.LocalReplica(group) is { IsLeader: true })
            {
                store.ProposeConfChange(group, change, reply => Judge(reply, store));
            }
        }

        void Judge(ConfChangeReply reply, StoreNode store)
        {
            _cluster.Scheduler.Fold((ulong)reply.Outcome);
            _lastRefusal[group] = $"{reply.Outcome} {reply.Detail}";
            if (reply.Outcome == ConfChangeOutcome.LevelTooLow && change.NeededLevel > FeatureLevel.First)
            {
                // A member is of feature level 1. Replicas move all the same, without the protection.
                change = change.WithoutEpoch();
                store.ProposeConfChange(group, change, again => Judge(again, store));
            }
        }
    }

    private Replica? LeaderOf(GroupId group) =>
        _cluster.Nodes.Select(n => n.Store?.LocalReplica(group)).FirstOrDefault(r => r is { IsLeader: true });

    private bool HasCaughtUp(GroupId group, ReplicaId newcomer, NodeId node) =>
        _cluster.Nodes[(int)node.Value - 1].Store?.LocalReplica(group) is { } replica && replica.Id == newcomer && replica.Reader.HasState
        && LeaderOf(group) is { } leader && replica.DurableLastIndex + MaxLag >= leader.DurableLastIndex;

    private void Move(GroupId group, Action<List<ReplicaPlacement>> change)
    {
        RoutingTable before = Current;
        var replicas = new List<IReadOnlyList<ReplicaPlacement>>();
        for (uint g = 0; g <= before.GroupCount; g++)
        {
            List<ReplicaPlacement> places = [.. before.ReplicasOf(new GroupId(g))];
            if (g == group.Value)
            {
                change(places);
            }

            replicas.Add(places);
        }

        GroupId[] groups = [.. Enumerable.Range(0, before.VirtualNodeCount).Select(before.GroupOf)];
        _tables.Add(new RoutingTable(before.Epoch + 1, groups, replicas));
    }

    private bool HoldsItsPlaces(NodeId node, StoreNode store)
    {
        for (uint g = 1; g <= Current.GroupCount; g++)
        {
            if ((store.LocalReplica(new GroupId(g))?.Id.Value ?? 0) != Current.ReplicaOn(new GroupId(g), node))
            {
                return false;
            }
        }

        return true;
    }

    private static ReplicaId Id(ReplicaPlacement place) => new(place.ReplicaId);

    private static ConfChangeStep Voter(ReplicaId replica) => new(ConfChangeKind.AddVoter, replica);

    private static ConfChangeStep Gone(ReplicaPlacement place) => new(ConfChangeKind.Remove, Id(place));

    private const long TickMicros = 100_000;

    /// <summary>Entries a learner may be behind when it is promoted.</summary>
    private const ulong MaxLag = 128;
}
