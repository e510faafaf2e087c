using System.Text;

namespace KvStore.Raft.Tests.Harness;

/// <summary>How scenarios write things down.</summary>
internal static class Text
{
    public static string Of(Message message) => $"{message.From}->{message.To} {Body(message)}";

    public static string Of(IReadOnlyList<Entry> entries) => string.Join(' ', entries.Select(Of));

    public static string Of(Entry entry) => $"{entry.Index}/{entry.Term}{Suffix(entry)}";

    public static string Of(HardState state) => $"term {state.Term} vote {state.Vote} commit {state.Commit}";

    public static string Of(ConfState configuration)
    {
        var text = new StringBuilder($"voters {string.Join(' ', configuration.Voters)}");
        if (configuration.IsJoint)
        {
            text.Append($" and {string.Join(' ', configuration.VotersOutgoing)}");
        }

        if (configuration.Learners.Count > 0)
        {
            text.Append($", learners {string.Join(' ', configuration.Learners)}");
        }

        if (configuration.LearnersNext.Count > 0)
        {
            text.Append($", learners next {string.Join(' ', configuration.LearnersNext)}");
        }

        text.Append(configuration.AutoLeave ? ", leaves by itself" : "");
        text.Append(configuration.Epoch > 0 ? $", by table {configuration.Epoch}" : "");
        return text.AppendJoin("", configuration.Nodes.Select(node => $", {node.Id} on node {node.Node}")).ToString();
    }

    public static string Of(ProgressStatus member) =>
        $"{member.Id} {member.State} match {member.Match} next {member.Next}"
        + (member.RecentActive ? "" : " silent") + (member.IsLearner ? " learner" : "");

    private static string Suffix(Entry entry) => entry.Kind switch
    {
        EntryKind.NoOp => ":no-op",
        EntryKind.ConfChange => ":conf",
        _ => entry.Payload.Length == 0 ? "" : $":{Encoding.ASCII.GetString(entry.Payload.Span).TrimEnd('.')}",
    };

    private static string Body(Message message) => message switch
    {
        AppendEntries m => $"Append term {m.Term} after {m.PrevIndex}/{m.PrevTerm} commit {m.Commit} [{Of(m.Entries)}]",
        AppendRejected m => $"AppendRejected term {m.Term} at {m.Index} hint {m.HintIndex}/{m.HintTerm}",
        AppendAccepted m => $"AppendOk term {m.Term} up to {m.Index}",
        Heartbeat m => $"Heartbeat term {m.Term} commit {m.Commit} round {m.Round}",
        HeartbeatResponse m => $"HeartbeatOk term {m.Term} round {m.Round}",
        PreVoteRequest m => $"PreVoteRequest term {m.Term} log ends {m.LastIndex}/{m.LastTerm}",
        VoteRequest m => $"VoteRequest term {m.Term} log ends {m.LastIndex}/{m.LastTerm}",
        TransferVoteRequest m => $"VoteRequest term {m.Term} log ends {m.LastIndex}/{m.LastTerm} transfer",
        PreVoteGranted m => $"PreVoteGranted term {m.Term}",
        VoteGranted m => $"VoteGranted term {m.Term}",
        BallotRefused m => $"{(m is PreVoteRefused ? "PreVote" : "Vote")}Refused term {m.Term} committed {m.Commit}/{m.CommitTerm}",
        ReadIndexRequest m => $"ReadIndex term {m.Term} context {m.Context}",
        ReadIndexResponse m => $"ReadIndexOk term {m.Term} context {m.Context} index {m.Index}",
        InstallSnapshot m => $"InstallSnapshot term {m.Term} {m.Snapshot.Index}/{m.Snapshot.Term}",
        TimeoutNow m => $"TimeoutNow term {m.Term}",
        _ => message.ToString(),
    };
}
