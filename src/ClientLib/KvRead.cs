using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>
/// What stands behind an answer: the level it met, how old it may be, and who gave it. Strong and age zero: nothing acknowledged before the
/// request is missing.
/// </summary>
/// <param name="Level">The level met.</param>
/// <param name="Age">At most so old, rounded up to a millisecond; null when nobody can prove it.</param>
/// <param name="Group">Raft group of the key.</param>
/// <param name="Term">Of the group.</param>
/// <param name="Applied">Index of the last entry the answering replica shows.</param>
/// <param name="Node">Name of the node whose replica it was, or its number where the name is not known.</param>
/// <param name="Role">What that replica was.</param>
/// <param name="Path">Whether it answered at once, after waiting, or the request was passed on.</param>
public sealed record ReadEvidence(
    ReadLevel Level, TimeSpan? Age, uint Group, ulong Term, ulong Applied, string Node, ServedRole Role, ServedPath Path);

/// <summary>What a read found. A key that is not there is an answer, not an error.</summary>
public readonly record struct KvRead(bool Found, KvValue Value, KvRevision Revision, ReadEvidence Evidence)
{
    /// <summary>At most so old; null when nobody can prove it.</summary>
    public TimeSpan? Age => Evidence.Age;

    /// <summary>The text, or null when the key is not there.</summary>
    public static implicit operator string?(KvRead read) => read.Found ? read.Value.AsText() : null;

    /// <summary>The bytes, or null when the key is not there.</summary>
    public byte[]? ToArray() => Found ? Value.Bytes.ToArray() : null;

    internal KvRead<T> As<T>(IKvSerializer<T> serializer) =>
        new(Found, Found ? serializer.Deserialize(Value.Bytes.Span) : default, Revision, Evidence);
}

/// <summary>What a typed read found; <see cref="Value"/> is the type's default when the key is not there.</summary>
public readonly record struct KvRead<T>(bool Found, T? Value, KvRevision Revision, ReadEvidence Evidence)
{
    /// <summary>At most so old; null when nobody can prove it.</summary>
    public TimeSpan? Age => Evidence.Age;

    /// <summary>The value, or the type's default when the key is not there.</summary>
    public static implicit operator T?(KvRead<T> read) => read.Value;
}
