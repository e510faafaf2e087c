namespace KvStore.Protocol;

/// <summary>Why something was not even tried: the code for programs, a sentence with the remedy for people.</summary>
public readonly record struct Refusal(ErrorCode Code, string Detail)
{
    public static Refusal Invalid(string detail) => new(ErrorCode.InvalidRequest, detail);

    public static Refusal TooLarge(string what, long bytes, string limitName, int limit) =>
        new(ErrorCode.TooLarge, $"The {what} has {bytes} bytes; the limit {limitName} is {limit}.");
}
