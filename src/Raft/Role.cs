namespace KvStore.Raft;

public enum Role : byte
{
    Follower,
    PreCandidate,
    Candidate,
    Leader,
}
