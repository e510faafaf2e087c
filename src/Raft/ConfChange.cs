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
public readonly record struct ConfChangeStep(ConfChangeKind Kind, ReplicaId Id);

/// <summary>
/// A change of configuration, the payload of a configuration entry. Without steps it leaves a joint configuration.
/// <code>
/// byte 0       version = 1; raised when the layout changes, old ones stay readable
/// byte 1       transition
/// byte 2-3     number of steps, little-endian
/// per step     kind (1 byte), replica id (8 bytes, little-endian)
/// </code>
/// </summary>
public sealed record ConfChange(ConfTransition Transition, IReadOnlyList<ConfChangeStep> Steps)
{
    private const byte Version = 1;
    private const int HeaderBytes = 4;
    private const int StepBytes = 9;

    public static ConfChange LeaveJoint { get; } = new(ConfTransition.Auto, []);

    public byte[] Encode()
    {
        byte[] bytes = new byte[HeaderBytes + StepBytes * Steps.Count];
        bytes[0] = Version;
        bytes[1] = (byte)Transition;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2), checked((ushort)Steps.Count));
        Span<byte> rest = bytes.AsSpan(HeaderBytes);
        foreach (ConfChangeStep step in Steps)
        {
            rest[0] = (byte)step.Kind;
            BinaryPrimitives.WriteUInt64LittleEndian(rest[1..], step.Id.Value);
            rest = rest[StepBytes..];
        }

        return bytes;
    }

    /// <summary>False: not written by a version this one knows.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, out ConfChange? change)
    {
        change = null;
        if (bytes.Length < HeaderBytes || bytes[0] != Version || bytes[1] > (byte)ConfTransition.JointExplicit)
        {
            return false;
        }

        int count = BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]);
        ReadOnlySpan<byte> rest = bytes[HeaderBytes..];
        if (rest.Length != count * StepBytes)
        {
            return false;
        }

        var steps = new ConfChangeStep[count];
        for (int i = 0; i < count; i++)
        {
            if (rest[0] > (byte)ConfChangeKind.Remove)
            {
                return false;
            }

            steps[i] = new ConfChangeStep((ConfChangeKind)rest[0], new ReplicaId(BinaryPrimitives.ReadUInt64LittleEndian(rest[1..])));
            rest = rest[StepBytes..];
        }

        change = new ConfChange((ConfTransition)bytes[1], steps);
        return true;
    }

    /// <summary>The configuration after this change, or false and why it is not valid there. Pure: every replica decides alike.</summary>
    public bool TryApplyTo(ConfState current, out ConfState next, out string? refusal)
    {
        next = current;
        refusal = null;
        if (Steps.Count == 0)
        {
            if (!current.IsJoint)
            {
                refusal = "there is no joint configuration to leave";
                return false;
            }

            next = Leave(current);
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
            next = new ConfState([.. voters], [], [.. learners], [], AutoLeave: false);
            return true;
        }

        // A voter of the old half cannot be a learner of the new one at the same time; it becomes one when the joint phase ends.
        ReplicaId[] demoted = [.. learners.Intersect(current.Voters)];
        bool autoLeave = Transition != ConfTransition.JointExplicit;
        next = new ConfState([.. voters], [.. current.Voters], [.. learners.Except(demoted)], demoted, autoLeave);
        return true;
    }

    private static ConfState Leave(ConfState joint) =>
        new(joint.Voters, [], [.. joint.Learners.Concat(joint.LearnersNext).Order()], [], AutoLeave: false);
}
