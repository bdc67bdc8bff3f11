using System.Text.Json;

namespace Samples;

/// <summary>The data of the event: what travels in the body, and what the topic's schema describes.</summary>
public sealed record OrderCreatedEvent(string OrderId, long Total, string Currency)
{
    /// <summary>Names in camel case: System.Text.Json writes them in Pascal case unless it is told otherwise.</summary>
    public static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);
}
