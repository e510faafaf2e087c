using System.Buffers.Binary;

namespace KvStore.Raft;

public enum ConfChangeKind : byte
{
    AddVoter = 0,
    AddLearner = 1,
    Remove = 2,
}

/// <summary>How a change comes into force. Stored in the log: numbers are never reused.</summary>
public enum ConfTransition : byte
{
    /// <summary>One step at once when it moves one voter at most; otherwise joint, and left by itself.</summary>
    Auto = 0,

    /// <summary>Joint, and left by itself.</summary>
    JointAutoLeave = 1,

    /// <summary>Joint until <see cref="ConfChange.LeaveJoint"/> is proposed.</summary>
    JointExplicit = 2,
}

/// <summary>One member's part of a change. AddVoter promotes a learner; AddLearner demotes a voter.</summary>
/// <param name="Kind">What becomes of the member.</param>
/// <param name="Id">The member.</param>
/// <param name="Node">Number of the node it lives on, for those who look for it; 0 when the change does not say.</param>
public readonly record struct ConfChangeStep(ConfChangeKind Kind, ReplicaId Id, uint Node = 0);

/// <summary>
/// A change of configuration, the payload of a configuration entry. Without steps it leaves a joint configuration; in one that is
/// not joint it only says which table the group follows from now on.
/// <code>
/// byte 0       version: 2 when there is an epoch or a node to say, otherwise 1. Both stay readable
/// byte 1       transition
/// byte 2-3     number of steps
/// version 2    epoch (8 bytes)
/// per step     kind (1 byte), replica id (8 bytes), in version 2 also node (4 bytes)
/// </code>
/// Numbers are little-endian.
/// </summary>
public sealed record ConfChange(ConfTransition Transition, IReadOnlyList<ConfChangeStep> Steps)
{
    private const byte FirstVersion = 1;
    private const byte EpochVersion = 2;
    private const int HeaderBytes = 4;
    private const int EpochHeaderBytes = HeaderBytes + sizeof(ulong);
    private const int StepBytes = 9;
    private const int EpochStepBytes = StepBytes + sizeof(uint);

    /// <summary>Feature level from which on a group's members read version 2.</summary>
    public const ushort EpochsSince = 2;

    public static ConfChange LeaveJoint { get; } = new(ConfTransition.Auto, []);

    /// <summary>
    /// Epoch of the table whose proposer wants this change; 0 when it follows none. Below that of an earlier change it is refused,
    /// here and at apply: a leader with an older table must not undo what one with a newer table did.
    /// </summary>
    public ulong Epoch { get; init; }

    /// <summary>The same change for readers that know only version 1: neither epoch nor nodes.</summary>
    public ConfChange WithoutEpoch() => this with { Epoch = 0, Steps = [.. Steps.Select(step => step with { Node = 0 })] };

    /// <summary>Feature level of an entry that holds it; 0 when every build reads it.</summary>
    public ushort NeededLevel => SaysMore ? EpochsSince : (ushort)0;

    private bool SaysMore => Epoch != 0 || Steps.Any(step => step.Node != 0);

    public byte[] Encode()
    {
        bool saysMore = SaysMore;
        (int headerBytes, int stepBytes) = saysMore ? (EpochHeaderBytes, EpochStepBytes) : (HeaderBytes, StepBytes);
        byte[] bytes = new byte[headerBytes + stepBytes * Steps.Count];
        bytes[0] = saysMore ? EpochVersion : FirstVersion;
        bytes[1] = (byte)Transition;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2), checked((ushort)Steps.Count));
        if (saysMore)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(HeaderBytes), Epoch);
        }

        Span<byte> rest = bytes.AsSpan(headerBytes);
        foreach (ConfChangeStep step in Steps)
        {
            rest[0] = (byte)step.Kind;
            BinaryPrimitives.WriteUInt64LittleEndian(rest[1..], step.Id.Value);
            if (saysMore)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(rest[StepBytes..], step.Node);
            }

            rest = rest[stepBytes..];
        }

        return bytes;
    }

    /// <summary>False: not written by a version this one knows.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, out ConfChange? change)
    {
        change = null;
        if (bytes.Length < HeaderBytes || bytes[0] is not (FirstVersion or EpochVersion) || bytes[1] > (byte)ConfTransition.JointExplicit)
        {
            return false;
        }

        bool saysMore = bytes[0] == EpochVersion;
        (int headerBytes, int stepBytes) = saysMore ? (EpochHeaderBytes, EpochStepBytes) : (HeaderBytes, StepBytes);
        int count = BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]);
        if (bytes.Length != headerBytes + count * stepBytes)
        {
            return false;
        }

        ReadOnlySpan<byte> rest = bytes[headerBytes..];
        var steps = new ConfChangeStep[count];
        for (int i = 0; i < count; i++)
        {
            if (rest[0] > (byte)ConfChangeKind.Remove)
            {
                return false;
            }

            uint node = saysMore ? BinaryPrimitives.ReadUInt32LittleEndian(rest[StepBytes..]) : 0;
            steps[i] = new ConfChangeStep((ConfChangeKind)rest[0], new ReplicaId(BinaryPrimitives.ReadUInt64LittleEndian(rest[1..])), node);
            rest = rest[stepBytes..];
        }

        ulong epoch = saysMore ? BinaryPrimitives.ReadUInt64LittleEndian(bytes[HeaderBytes..]) : 0;
        change = new ConfChange((ConfTransition)bytes[1], steps) { Epoch = epoch };
        return true;
    }

    /// <summary>Whether the configuration follows a newer table than this change.</summary>
    public bool IsOlderThan(ConfState current) => Epoch < current.Epoch;

    /// <summary>The configuration after this change, or false and why it is not valid there. Pure: every replica decides alike.</summary>
    public bool TryApplyTo(ConfState current, out ConfState next, out string? refusal)
    {
        next = current;
        refusal = null;
        if (IsOlderThan(current))
        {
            refusal = $"it follows epoch {Epoch}, and an earlier change followed epoch {current.Epoch}";
            return false;
        }

        if (Steps.Count == 0)
        {
            if (!current.IsJoint && Epoch == current.Epoch)
            {
                refusal = "there is no joint configuration to leave";
                return false;
            }

            next = (current.IsJoint ? Leave(current) : current) with { Epoch = Epoch };
            return true;
        }

        if (current.IsJoint)
        {
            refusal = "the configuration is joint already";
            return false;
        }

        if (Steps.Any(step => step.Id.IsNone))
        {
            refusal = "replica 0 is nobody";
            return false;
        }

        return TryEnter(current, out next, out refusal);
    }

    private bool TryEnter(ConfState current, out ConfState next, out string? refusal)
    {
        next = current;
        refusal = null;
        SortedSet<ReplicaId> voters = [.. current.Voters];
        SortedSet<ReplicaId> learners = [.. current.Learners];
        foreach (ConfChangeStep step in Steps)
        {
            voters.Remove(step.Id);
            learners.Remove(step.Id);
            if (step.Kind == ConfChangeKind.AddVoter)
            {
                voters.Add(step.Id);
            }
            else if (step.Kind == ConfChangeKind.AddLearner)
            {
                learners.Add(step.Id);
            }
        }

        if (voters.Count == 0)
        {
            refusal = "no voter would be left";
            return false;
        }

        int moved = voters.Except(current.Voters).Count() + current.Voters.Except(voters).Count();
        if (Transition == ConfTransition.Auto && moved <= 1)
        {
            // Two majorities that differ by one voter always overlap (thesis 4.1): no joint phase is needed.
            next = new ConfState([.. voters], [], [.. learners], [], AutoLeave: false) { Epoch = Epoch, Nodes = NodesOf(current, voters, learners) };
            return true;
        }

        // A voter of the old half cannot be a learner of the new one at the same time; it becomes one when the joint phase ends.
        ReplicaId[] demoted = [.. learners.Intersect(current.Voters)];
        bool autoLeave = Transition != ConfTransition.JointExplicit;
        next = new ConfState([.. voters], [.. current.Voters], [.. learners.Except(demoted)], demoted, autoLeave)
        {
            Epoch = Epoch,
            Nodes = NodesOf(current, voters.Concat(current.Voters), learners),
        };
        return true;
    }

    /// <summary>Where the members live, as far as a change has said it: a step that says nothing leaves what is known.</summary>
    private ReplicaNode[] NodesOf(ConfState current, IEnumerable<ReplicaId> voters, IEnumerable<ReplicaId> learners)
    {
        var nodes = new SortedDictionary<ReplicaId, uint>();
        foreach (ReplicaId member in voters.Concat(learners))
        {
            nodes[member] = current.NodeOf(member);
        }

        foreach (ConfChangeStep step in Steps.Where(step => step.Node != 0 && nodes.ContainsKey(step.Id)))
        {
            nodes[step.Id] = step.Node;
        }

        return [.. nodes.Where(node => node.Value != 0).Select(node => new ReplicaNode(node.Key, node.Value))];
    }

    private static ConfState Leave(ConfState joint)
    {
        var left = new ConfState(joint.Voters, [], [.. joint.Learners.Concat(joint.LearnersNext).Order()], [], AutoLeave: false);
        return left with { Epoch = joint.Epoch, Nodes = [.. joint.Nodes.Where(node => left.IsMember(node.Id))] };
    }
}
